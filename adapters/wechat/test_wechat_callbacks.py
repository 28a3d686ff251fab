"""Which callbacks are believed, and what each proves."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from wechatpayv3 import utils as sdk

from adapters.channel import CallbackRefused
from adapters.transport import HttpAnswer
from adapters.wechat.test_wechat import NUMBER, REFUND_NO, TRADE_NO, fixture, nulled, shape
from adapters.wechat.test_wechat_channel import API_V3_KEY, LATE, STRANGER, channel, signed
from gateway.domain import outcomes as out
from gateway.limits import CALLBACK_BODY_BYTES_MAX


def notice(name: str, event: str, key: str = API_V3_KEY, **changed: Any) -> HttpAnswer:
    """A callback as the platform sends it: the content sealed, the envelope signed."""
    return notice_with(fixture(name, **changed).body, event, key)


def notice_with(content: bytes, event: str, key: str = API_V3_KEY) -> HttpAnswer:
    sealed = sdk.b64encode(
        AESGCM(key.encode()).encrypt(b"0123456789ab", content, b"transaction")
    ).decode()
    resource = {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": sealed,
        "nonce": "0123456789ab",
        "associated_data": "transaction",
    }
    envelope = {
        "id": "EV-2026",
        "event_type": event,
        "resource_type": "encrypt-resource",
        "summary": "",
        "resource": resource,
    }
    return signed(json.dumps(envelope).encode())


PAID, REFUNDED, ABNORMAL = "TRANSACTION.SUCCESS", "REFUND.SUCCESS", "REFUND.ABNORMAL"


def test_a_paid_callback_proves_the_payment() -> None:
    wechat, _ = channel()
    sent = notice("callback_paid", PAID)
    found = wechat.read_callback(sent.headers, sent.body)
    assert (found.event_key, found.kind, found.out_trade_no, found.amount) == (
        "EV-2026",
        "pay",
        NUMBER,
        12850,
    )
    assert isinstance(found.learned, out.Succeeded)
    assert found.learned.channel_trade_no == TRADE_NO
    assert '"trade_state": "SUCCESS"' in found.learned.evidence


def test_a_null_is_a_field_left_out() -> None:
    wechat, _ = channel()
    paid = notice_with(nulled("callback_paid", "success_time", "payer", "attach").body, PAID)
    assert isinstance(wechat.read_callback(paid.headers, paid.body).learned, out.Succeeded)
    back = notice_with(nulled("callback_refund_succeeded", "success_time", "status").body, REFUNDED)
    assert isinstance(wechat.read_callback(back.headers, back.body).refund, out.RefundSucceeded)
    unowned = notice_with(nulled("callback_paid", "mchid").body, PAID)
    with pytest.raises(CallbackRefused, match="foreign_merchant"):
        wechat.read_callback(unowned.headers, unowned.body)


def test_another_amount_is_reported_and_another_currency_proves_nothing() -> None:
    wechat, _ = channel()
    other = notice("callback_paid", PAID, amount={"total": 1})
    assert wechat.read_callback(other.headers, other.body).amount == 1
    foreign = notice("callback_paid", PAID, amount={"total": 12850, "currency": "HKD"})
    assert wechat.read_callback(foreign.headers, foreign.body).learned is None


@pytest.mark.parametrize(
    ("name", "event", "expected"),
    [
        ("callback_refund_succeeded", REFUNDED, (out.RefundSucceeded,)),
        (
            "callback_refund_abnormal",
            ABNORMAL,
            (out.RefundDeclined, "payer_account_unusable", True),
        ),
    ],
)
def test_refund_callbacks(name: str, event: str, expected: tuple[Any, ...]) -> None:
    wechat, _ = channel()
    sent = notice(name, event)
    found = wechat.read_callback(sent.headers, sent.body)
    assert (found.kind, found.out_trade_no, found.out_refund_no, found.amount) == (
        "refund",
        NUMBER,
        REFUND_NO,
        2850,
    )
    assert shape(found.refund) == expected


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (notice("callback_paid", PAID, mchid="1"), "foreign_merchant"),
        (notice("callback_paid", PAID, appid="wx0"), "foreign_merchant"),
        (notice("callback_paid", PAID, mchid=None), "foreign_merchant"),
        (notice("callback_refund_succeeded", REFUNDED, mchid="1"), "foreign_merchant"),
        (notice("callback_paid", PAID, key=API_V3_KEY[::-1]), "seal"),
        (notice("callback_paid", "PROFITSHARING.SUCCESS"), "event_unlisted"),
        (notice("callback_refund_succeeded", REFUNDED, refund_status="SURPRISE"), "state_unlisted"),
        (notice("callback_refund_succeeded", REFUNDED, refund_status=None), "state_unlisted"),
        (notice("callback_paid", PAID, out_trade_no=None), "malformed"),
        (notice("codepay_user_paying", REFUNDED), "malformed"),
        (signed(b"{}"), "malformed"),
        (signed(b"\x5b" * CALLBACK_BODY_BYTES_MAX), "malformed"),
        (signed(b" " * (CALLBACK_BODY_BYTES_MAX + 1)), "too_long"),
        (signed(b"{}", at=LATE), "stale"),
        (signed(b"{}", key=STRANGER), "bad_signature"),
        (HttpAnswer(status=0, headers={}, body=b"{}"), "unsigned"),
    ],
)
def test_callbacks_that_are_refused(sent: HttpAnswer, reason: str) -> None:
    wechat, transport = channel()
    with pytest.raises(CallbackRefused) as refused:
        wechat.read_callback(sent.headers, sent.body)
    assert refused.value.reason == reason
    assert not transport.calls  # an unknown key is never fetched


def test_the_answers_to_a_callback() -> None:
    wechat, _ = channel()
    accepted, refused = wechat.callback_accepted(), wechat.callback_refused()
    assert (accepted.status, accepted.body) == (204, b"")
    assert (refused.status, json.loads(refused.body)["code"]) == (401, "FAIL")

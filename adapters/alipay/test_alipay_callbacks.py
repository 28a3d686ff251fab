"""Which notifies are believed, and what each proves."""

import re
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.alipay.channel import AlipayChannel
from adapters.alipay.signing import notify_content
from adapters.alipay.test_alipay import (
    APP_ID,
    NUMBER,
    OURS,
    THEIRS,
    Alipay,
    channel,
    fixture,
    signature,
    told,
)
from adapters.channel import CallbackRefused
from gateway.domain.outcomes import Succeeded


def notify(name: str, signing_key: rsa.RSAPrivateKey = THEIRS, **changed: str | None) -> bytes:
    params = fixture(name, **changed)
    params |= {"sign_type": "RSA2", "sign": signature(notify_content(params), signing_key)}
    return urlencode(params).encode()


def made() -> AlipayChannel:
    return channel(Alipay(AssertionError("a callback makes no call")))


@pytest.mark.parametrize(
    ("name", "kind", "learned", "refund_no"),
    [
        ("notify_paid", "pay", "Succeeded", None),
        ("notify_waiting", "pay", "NoneType", None),
        ("notify_closed_unpaid", "pay", "Closed charged=None", None),
        ("notify_refunded_in_part", "refund", "Succeeded", "RF1"),
        ("notify_refunded_whole", "refund", "Closed charged=True", "RF2"),
    ],
)
def test_a_genuine_callback_tells_the_trades_state(
    name: str, kind: str, learned: str, refund_no: str | None
) -> None:
    callback = made().read_callback({}, notify(name))
    assert (callback.kind, told(callback.learned), callback.out_refund_no) == (
        kind,
        learned,
        refund_no,
    )
    assert (callback.out_trade_no, callback.amount) == (NUMBER, 12_850)


def test_a_paid_callback_is_told_whole() -> None:
    learned = made().read_callback({}, notify("notify_paid")).learned
    assert isinstance(learned, Succeeded)
    assert (learned.amount, learned.received_amount, learned.payer_masked) == (
        12_850,
        12_850,
        "159****0000",
    )
    assert learned.paid_at == datetime(2026, 11, 21, 12, 15, 9, tzinfo=UTC)
    assert "&sign=" in learned.evidence


def test_one_event_has_one_key_whenever_it_is_sent() -> None:
    again = notify("notify_paid", notify_time="2026-11-22 20:15:10", notify_id="another")
    read = made().read_callback
    assert read({}, notify("notify_paid")).event_key == read({}, again).event_key
    keys = {
        read({}, notify(name)).event_key
        for name in (
            "notify_paid",
            "notify_refunded_in_part",
            "notify_refunded_whole",
            "notify_waiting",
        )
    }
    assert (
        len(
            keys
            | {
                read(
                    {}, notify("notify_refunded_in_part", refund_fee="57.00", out_biz_no="RF2")
                ).event_key
            }
        )
        == 5
    )


def test_an_amount_that_is_not_ours_is_handed_on() -> None:
    assert made().read_callback({}, notify("notify_paid", total_amount="0.01")).amount == 1


PAID = notify("notify_paid")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (notify("notify_paid", signing_key=OURS), "bad_signature"),
        (PAID.replace(b"128.50", b"0.01"), "bad_signature"),
        (PAID + b"&extra=1", "bad_signature"),
        (re.sub(rb"&sign=[^&]*", b"", PAID), "bad_signature"),
        (b"", "bad_signature"),
        (PAID + b"&app_id=" + APP_ID.encode(), "malformed"),
        (b"{}", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"a=" + b"1" * 65_536, "too_long"),
        (notify("notify_paid", app_id="2021000000000002"), "foreign_app"),
        (notify("notify_paid", app_id=None), "foreign_app"),
        (notify("notify_paid", seller_id="2088000000000002"), "foreign_seller"),
        (notify("notify_paid", seller_id=None), "foreign_seller"),
        (notify("notify_paid", total_amount="x"), "malformed"),
        (notify("notify_paid", out_trade_no=None), "malformed"),
        (notify("notify_paid", trade_status=None), "malformed"),
    ],
)
def test_a_callback_that_proves_nothing_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(CallbackRefused, match=f"^{reason}$"):
        made().read_callback({}, body)


def test_empty_values_left_out_of_the_signature_are_not_read_and_the_sender_is_believed() -> None:
    params = fixture("notify_paid", body=None)
    params |= {"sign_type": "RSA2", "sign": signature(notify_content(params))}
    callback = made().read_callback({}, urlencode(params | {"body": "", "gmt_refund": ""}).encode())
    assert callback.kind == "pay"
    with pytest.raises(CallbackRefused, match="bad_signature"):
        made().read_callback({}, urlencode(params | {"body": "x"}).encode())


def test_the_channels_own_words() -> None:
    assert made().callback_accepted().body == b"success"
    assert made().callback_refused().body != b"success"

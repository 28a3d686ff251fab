"""Which notifies are believed, and what each proves."""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.alipay.channel import AlipayChannel
from adapters.alipay.signing import notify_content
from adapters.alipay.test_alipay import (
    APP_ID,
    NUMBER,
    OURS,
    SELLER_ID,
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
    return form(fixture(name, **changed), signing_key)


def form(
    params: dict[str, str], signing_key: rsa.RSAPrivateKey = THEIRS, encoding: str = "utf-8"
) -> bytes:
    """The notify as it is sent, signed over these parameters."""
    content = notify_content(params, encoding)
    signed = params | {"sign_type": "RSA2", "sign": signature(content, signing_key)}
    return urlencode(signed, encoding=encoding).encode()


def made() -> AlipayChannel:
    return channel(Alipay(AssertionError("a callback makes no call")))


ZERO: dict[str, Any] = {"refund_fee": "0.00"}
# name, what is changed, the callback's kind, what it proves, which refund it names
GENUINE: list[tuple[str, dict[str, Any], str, str, str | None]] = [
    ("notify_paid", {}, "pay", "Succeeded", None),
    ("notify_paid", ZERO | {"gmt_close": "2026-11-21 20:15:09"}, "pay", "Succeeded", None),
    ("notify_paid", ZERO | {"trade_status": "TRADE_FINISHED"}, "pay", "Succeeded", None),
    ("notify_paid", {"refund_fee": "0"}, "pay", "Succeeded", None),
    ("notify_paid", {"refund_fee": "x"}, "refund", "Succeeded", None),  # unread, so not a payment
    ("notify_paid", {"seller_id": None}, "pay", "Succeeded", None),
    ("notify_waiting", {}, "pay", "NoneType", None),
    ("notify_waiting", {"total_amount": None}, "pay", "NoneType", None),
    ("notify_closed_unpaid", {}, "pay", "Closed charged=None", None),
    ("notify_closed_unpaid", ZERO, "pay", "Closed charged=None", None),
    ("notify_closed_unpaid", {"total_amount": None}, "pay", "Closed charged=None", None),
    ("notify_refunded_in_part", {}, "refund", "Succeeded", "RF1"),
    ("notify_refunded_in_part", {"out_biz_no": None}, "refund", "Succeeded", None),
    (
        "notify_refunded_in_part",
        {"out_biz_no": None, "gmt_refund": None},
        "refund",
        "Succeeded",
        None,
    ),
    ("notify_refunded_in_part", ZERO | {"out_biz_no": None}, "refund", "Succeeded", None),
    ("notify_refunded_whole", {}, "refund", "Closed charged=True", "RF2"),
]


@pytest.mark.parametrize(("name", "changed", "kind", "learned", "refund_no"), GENUINE)
def test_a_genuine_callback_tells_the_trades_state(
    *, name: str, changed: dict[str, Any], kind: str, learned: str, refund_no: str | None
) -> None:
    callback = made().read_callback({}, notify(name, **changed))
    assert (callback.kind, told(callback.learned), callback.out_refund_no) == (
        kind,
        learned,
        refund_no,
    )
    total = changed.get("total_amount", "128.50")
    assert (callback.out_trade_no, callback.amount) == (NUMBER, 12_850 if total else None)


# The samples of the documentation and of production, with other numbers and persons.
QR_SAMPLE = (
    "total_amount=2.00&buyer_id=2088000000000000&body=x&trade_no=2016071921001003030200089909"
    "&refund_fee=0.00&notify_type=trade_status_sync&subject=x&out_trade_no=0719141034-6418"
    "&gmt_close=2016-07-19 14:10:46&gmt_payment=2016-07-19 14:10:47"
    "&gmt_create=2016-07-19 14:10:44&trade_status=TRADE_SUCCESS"
)
FINISHED_SAMPLE = (
    "total_amount=0.01&trade_no=201609232100100306021234567&refund_fee=0.00"
    "&out_trade_no=2016092313071234567&gmt_close=2016-09-23 19:08:10"
    "&gmt_payment=2016-09-23 19:08:10&trade_status=TRADE_FINISHED"
)


@pytest.mark.parametrize(("sample", "amount"), [(QR_SAMPLE, 200), (FINISHED_SAMPLE, 1)])
def test_a_refund_fee_of_nothing_is_no_refund(sample: str, amount: int) -> None:
    params = dict(pair.split("=", 1) for pair in sample.split("&"))
    callback = made().read_callback({}, form(params | {"app_id": APP_ID, "seller_id": SELLER_ID}))
    assert (callback.kind, told(callback.learned), callback.amount) == ("pay", "Succeeded", amount)


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


VOUCHERS = (
    '[{"amount":"5.00","merchantContribute":"%s","name":"店铺满减","otherContribute":"%s",'
    '"type":"ALIPAY_FIX_VOUCHER"}]'
)


@pytest.mark.parametrize(
    ("changed", "received", "discounts"),
    [
        (
            {"receipt_amount": "123.50", "voucher_detail_list": VOUCHERS % ("5.00", "0.00")},
            12_350,
            [(500, "merchant")],
        ),
        (
            {"receipt_amount": "127.50", "voucher_detail_list": VOUCHERS % ("1.00", "4.00")},
            12_750,
            [(100, "merchant"), (400, "channel")],
        ),
        ({"mdiscount_amount": "3.00"}, 12_850, [(300, "merchant")]),
        ({"receipt_amount": "0.00"}, None, []),
        ({"receipt_amount": None}, None, []),
        ({"voucher_detail_list": "[{"}, 12_850, []),
    ],
)
def test_a_callback_tells_who_paid_a_discount(
    changed: dict[str, Any], received: int | None, discounts: list[tuple[int, str]]
) -> None:
    learned = made().read_callback({}, notify("notify_paid", **changed)).learned
    assert isinstance(learned, Succeeded)
    assert learned.received_amount == received
    assert [(each.amount, each.funded_by) for each in learned.discounts] == discounts


def test_one_event_has_one_key_whenever_it_is_sent() -> None:
    again = notify("notify_paid", notify_time="2026-11-22 20:15:10", notify_id="another")
    assert key(notify("notify_paid")) == key(again)


def test_two_events_have_two_keys() -> None:
    part = "notify_refunded_in_part"
    keys = [
        key(sent)
        for sent in (
            notify("notify_paid"),
            notify("notify_paid", total_amount="128.51"),
            notify("notify_paid", trade_no="2026112122001425561407385963"),
            notify("notify_waiting"),
            notify(part),
            notify(part, out_biz_no="RF2"),  # the sum of all refunds may stay the same
            notify(part, refund_fee="57.00"),
            notify("notify_refunded_whole"),
        )
    ]
    assert len({*keys}) == len(keys)


def key(sent: bytes) -> str:
    return made().read_callback({}, sent).event_key


def test_an_amount_that_is_not_ours_is_handed_on() -> None:
    assert made().read_callback({}, notify("notify_paid", total_amount="0.01")).amount == 1


PAID = notify("notify_paid")


@pytest.mark.parametrize(
    "body",
    [
        PAID + b"&",
        b"&" + PAID.replace(b"&charset", b"&&charset"),
        PAID.replace(b"%2B", b"+"),  # in `sign`, and nowhere else
        form(fixture("notify_paid", charset="GBK"), encoding="gbk"),
    ],
)
def test_a_form_written_in_another_way_is_the_same_notify(body: bytes) -> None:
    assert key(body) == key(PAID)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (notify("notify_paid", signing_key=OURS), "bad_signature"),
        (PAID.replace(b"128.50", b"0.01"), "bad_signature"),
        (PAID.replace(b"charset=utf-8", b"charset=GBK"), "malformed"),
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
        (notify("notify_paid", total_amount="x"), "malformed"),
        (notify("notify_paid", total_amount=None), "malformed"),  # a yes about how much?
        (notify("notify_waiting", total_amount="x"), "malformed"),
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

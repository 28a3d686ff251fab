"""Alipay's shapes, gateway v2 (opendocs.alipay.com, alipay.trade.pay, .precreate, .query, .cancel,
.refund, .fastpay.refund.query).

What we send holds only the fields we set. What we read is lenient: unknown fields are skipped and
every field may be missing, because what must be there is judged in `translate`, where a missing one
becomes `Unknown` and not an exception. Amounts are decimal yuan, as texts on the wire and as
numbers in some of the documentation's samples; times are China time without a zone.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, TypeAlias

import msgspec

from adapters import documents
from gateway.domain.outcomes import Discount

Yuan: TypeAlias = str | int

CHINA = timezone(timedelta(hours=8))

PAY = "alipay.trade.pay"
PRECREATE = "alipay.trade.precreate"
QUERY = "alipay.trade.query"
CANCEL = "alipay.trade.cancel"
REFUND = "alipay.trade.refund"
REFUND_QUERY = "alipay.trade.fastpay.refund.query"


# What an answer leaves out unless it is asked for: who paid a discount, and from which funds.
PAY_OPTIONS: Final = (
    "voucher_detail_list",
    "fund_bill_list",
    "mdiscount_amount",
    "discount_amount",
)
QUERY_OPTIONS: Final = ("voucher_detail_list", "fund_bill_list", "mdiscount_amount")


class PayBiz(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """alipay.trade.pay.

    `time_expire` is absolute and fences a late request; `timeout_express` counts from the arrival.
    """

    out_trade_no: str
    total_amount: str
    subject: str
    auth_code: str
    time_expire: str
    timeout_express: str
    scene: str
    product_code: str
    query_options: tuple[str, ...]
    store_id: str = ""
    terminal_id: str = ""
    operator_id: str = ""


class PrecreateBiz(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """alipay.trade.precreate. The trade itself begins to exist when somebody scans."""

    out_trade_no: str
    total_amount: str
    subject: str
    qr_code_timeout_express: str
    timeout_express: str
    store_id: str = ""
    terminal_id: str = ""
    operator_id: str = ""


class QueryBiz(msgspec.Struct, kw_only=True, frozen=True):
    """alipay.trade.query: our number alone, since it is the one thing both sides always know."""

    out_trade_no: str
    query_options: tuple[str, ...] = QUERY_OPTIONS


class CancelBiz(msgspec.Struct, kw_only=True, frozen=True):
    """alipay.trade.cancel."""

    out_trade_no: str


class RefundBiz(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """alipay.trade.refund. `out_request_no` makes repeats harmless."""

    out_trade_no: str
    refund_amount: str
    out_request_no: str
    refund_reason: str = ""


class RefundQueryBiz(msgspec.Struct, kw_only=True, frozen=True):
    """alipay.trade.fastpay.refund.query."""

    out_trade_no: str
    out_request_no: str
    query_options: tuple[str, ...] = ("gmt_refund_pay",)


class Answer(msgspec.Struct, kw_only=True, frozen=True):
    """The inner object of every answer. `code` 10000 is "handled", which is not yet "paid".

    `receipt_amount` 0.00 stands in the answer to a query that did not ask for the funds: it is no
    amount then.
    """

    code: str
    sub_code: str = ""
    trade_no: str = ""
    out_trade_no: str = ""
    seller_id: str = ""
    total_amount: Yuan = ""
    receipt_amount: Yuan = ""
    mdiscount_amount: Yuan = ""
    discount_amount: Yuan = ""
    trade_status: str = ""
    buyer_logon_id: str = ""
    gmt_payment: str = ""
    send_pay_date: str = ""
    voucher_detail_list: msgspec.Raw = msgspec.Raw(b"[]")
    qr_code: str = ""
    retry_flag: str = ""
    action: str = ""
    fund_change: str = ""
    refund_fee: Yuan = ""
    refund_amount: Yuan = ""
    refund_status: str = ""
    out_request_no: str = ""
    gmt_refund_pay: str = ""


class Voucher(msgspec.Struct, frozen=True):
    """One discount. Answers spell its fields `merchant_contribute`, notifies
    `merchantContribute`.
    """

    name: str = ""
    amount: Yuan = ""
    merchant_contribute: Yuan = ""
    other_contribute: Yuan = ""


_YUAN = re.compile(r"(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,2}))?", re.ASCII)


def fen(yuan: Yuan) -> int | None:
    """`128.50`, `128.5` or `128` in fen; None for anything else (signs, exponents, a third decimal,
    other digits).
    """
    parts = _YUAN.fullmatch(str(yuan))
    return None if parts is None else int(parts[1]) * 100 + int((parts[2] or "").ljust(2, "0"))


def china_time(moment: datetime) -> str:
    """An aware moment as Alipay writes it;
    a fraction of a second is cut off, so that an expiry is never late.
    """
    return moment.astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S")


def moment(text: str) -> datetime | None:
    """A time of Alipay's as an aware one in UTC; None if it is none."""
    try:
        return (
            datetime.strptime(text[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=CHINA).astimezone(UTC)
        )
    except ValueError:
        return None


def express_minutes(begin: datetime, end: datetime) -> str:
    """A span as `timeout_express` wants it: whole minutes, rounded up, at least one."""
    return f"{max(1, -((begin - end) // timedelta(minutes=1)))}m"


def subject(text: str, otherwise: str) -> str:
    """A title Alipay accepts: at most 256 characters, none of `/`, `=`, `&`, no line ends."""
    return " ".join(re.sub(r"[/=&\x00-\x1f\x7f]", " ", text).split())[:256] or otherwise


def discounts(vouchers: msgspec.Raw | str) -> tuple[Discount, ...]:
    """The discounts of a `voucher_detail_list`: a JSON list, or a JSON text that holds one.

    They only inform, so a voucher that cannot be read is left out, and the others stay.
    """
    try:
        listed = documents.plain(vouchers)
        if isinstance(listed, str):
            listed = documents.plain(listed)
    except ValueError:
        return ()
    found: list[Discount] = []
    for each in listed if isinstance(listed, list) else []:
        try:
            voucher = msgspec.convert(_in_snake_case(each), Voucher)
        except msgspec.ValidationError:
            continue
        found += _shares(voucher)
    return tuple(found)


def _in_snake_case(voucher: Any) -> Any:
    """The field names as answers spell them; a null is a field left out."""
    if not isinstance(voucher, dict):
        return voucher
    return {
        re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", name): value
        for name, value in voucher.items()
        if value is not None
    }


def _shares(voucher: Voucher) -> list[Discount]:
    """Who pays how much of it. A share that is not told is the rest; with neither told, the channel
    pays all.
    """
    amount = fen(voucher.amount) or 0
    merchant, other = fen(voucher.merchant_contribute), fen(voucher.other_contribute)
    if merchant is None:
        merchant = 0 if other is None else max(0, amount - other)
    if other is None:
        other = max(0, amount - merchant)
    return [
        Discount(name=voucher.name, amount=share, funded_by=payer)
        for payer, share in (("merchant", merchant), ("channel", other))
        if share
    ]

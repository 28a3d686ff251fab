"""Alipay's → ours, pure: what an answer and a notify prove.

Answers that come here are already verified; what their words prove stands in `codes`.

A trade or refund that names another number, amount or seller than ours is `Mismatch`; one that says
"yes" or "ended" and leaves out what we compare is `Unknown`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, TypeVar

import msgspec

from adapters.alipay import codes, wire
from adapters.alipay.codes import BUSINESS_FAILED, DONE, UNLISTED
from adapters.channel import Callback, CallbackRefused, PayRequest, RefundRequest, TradeRef
from gateway.domain.money import yuan
from gateway.domain.outcomes import (
    CallAgain,
    CancelOutcome,
    Closed,
    Discount,
    Mismatch,
    NothingThere,
    PayerActionNeeded,
    PayOutcome,
    QueryOutcome,
    RefundNotFound,
    RefundOutcome,
    RefundPending,
    RefundQueryOutcome,
    RefundSucceeded,
    Reversed,
    Succeeded,
    Unknown,
)

INCOMPLETE: Final = "incomplete"  # signed, but without something that we compare
STATUS_ABSENT: Final = "status_absent"  # signed, found, and without a word about its state
CHANNEL_CODE_CHARS_MAX: Final = 96  # their longest word has half of that
CANCELS_REPEATABLE: Final = "Y"
MONEY_MOVED: Final = "Y"

_Row = TypeVar(
    "_Row", codes.PayRow, codes.QueryRow, codes.CancelRow, codes.RefundRow, codes.RefundQueryRow
)


def paid(answer: wire.Answer, request: PayRequest, seller_id: str) -> PayOutcome:
    """What the answer to a barcode payment tells."""
    if answer.code == DONE:
        return _succeeded(answer, request, seller_id, paid_at=answer.gmt_payment)
    row = _row(answer, codes.PAY_CODES, codes.PAY_WORDS, codes.PAY_FAMILIES)
    if isinstance(row, PayerActionNeeded):
        return _foreign(answer, request.out_trade_no, seller_id) or replace(
            row, channel_trade_no=answer.trade_no or None
        )
    return row


def precreated(answer: wire.Answer, request: PayRequest, seller_id: str) -> PayOutcome:
    """What the answer to a QR code's creation tells."""
    if answer.code != DONE:
        row = _row(answer, codes.PAY_CODES, codes.PAY_WORDS, codes.PAY_FAMILIES)
        return (
            replace(UNLISTED, channel_code=answer.code)
            if isinstance(row, PayerActionNeeded)
            else row
        )
    if not answer.qr_code:
        return Unknown(reason=INCOMPLETE, channel_code=DONE)
    return _foreign(answer, request.out_trade_no, seller_id) or PayerActionNeeded(
        qr_code=answer.qr_code, channel_code=DONE
    )


def queried(answer: wire.Answer, trade: TradeRef, seller_id: str) -> QueryOutcome:
    """What a query tells.

    TRADE_CLOSED means both "closed unpaid" and "refunded whole": a payment date decides, its lack
    does not.
    """
    if answer.code != DONE:
        return _row(answer, codes.QUERY_CODES, codes.QUERY_WORDS)
    foreign = _foreign(answer, trade.out_trade_no, seller_id)
    if foreign:
        return foreign
    number = answer.trade_no or None
    match answer.trade_status:
        case "TRADE_SUCCESS" | "TRADE_FINISHED":
            return _succeeded(answer, trade, seller_id, paid_at=answer.send_pay_date)
        case "WAIT_BUYER_PAY":
            return PayerActionNeeded(channel_code=answer.trade_status, channel_trade_no=number)
        case "TRADE_CLOSED":
            return Closed(
                was_charged=True if answer.send_pay_date else None,
                channel_code=answer.trade_status,
                channel_trade_no=number,
            )
        case "":
            return Unknown(reason=STATUS_ABSENT, channel_code=DONE)
        case status:
            return replace(UNLISTED, channel_code=_short(status))


def canceled(answer: wire.Answer, trade: TradeRef) -> CancelOutcome:
    """What a cancel tells.

    No `action`: Alipay knows no such trade, and a pay that comes later may still charge. In a
    refusal that decides nothing `retry_flag` does: the same cancel may be sent again.
    """
    if answer.code != DONE:
        row = _row(answer, codes.CANCEL_CODES, codes.CANCEL_WORDS)
        if isinstance(row, Unknown) and answer.retry_flag == CANCELS_REPEATABLE:
            return CallAgain(channel_code=row.channel_code)
        return row
    if answer.out_trade_no not in {"", trade.out_trade_no}:
        return Unknown(reason="foreign_order", channel_code=DONE)
    if answer.retry_flag == CANCELS_REPEATABLE:
        return CallAgain(channel_code="retry_flag=Y")
    match answer.action:
        case "":
            return NothingThere(channel_code=DONE)
        case _ if not answer.out_trade_no:
            return Unknown(reason=INCOMPLETE, channel_code=DONE)
        case "close":
            return Reversed(was_charged=False, channel_code="close")
        case "refund":
            return Reversed(was_charged=True, channel_code="refund")
        case action:
            return replace(UNLISTED, channel_code=_short(f"action={action}"))


def refunded(answer: wire.Answer, request: RefundRequest) -> RefundOutcome:
    """What the answer to a refund tells.

    Its `refund_fee` counts all refunds of the trade, so it can only be too small.
    """
    if answer.code != DONE:
        return _row(answer, codes.REFUND_CODES, codes.REFUND_WORDS)
    foreign = _differs("out_trade_no", request.out_trade_no, answer.out_trade_no)
    if foreign:
        return foreign
    if answer.fund_change != MONEY_MOVED:
        return RefundPending(
            channel_code=f"fund_change={_short(answer.fund_change)}",
            channel_refund_no=request.out_refund_no,
        )
    total = wire.fen(answer.refund_fee)
    if total is None:
        return Unknown(reason=INCOMPLETE, channel_code=DONE)
    if total < request.refund_amount:
        return Mismatch(
            field="refund_fee", expected=yuan(request.refund_amount), got=str(answer.refund_fee)
        )
    return _refund_succeeded(answer, request)


def refund_queried(answer: wire.Answer, request: RefundRequest) -> RefundQueryOutcome:
    """What a refund's query tells.

    10000 without a word about the refund: Alipay never received it, or refused it. An amount
    without a status meant success in 2016 and means nothing today.
    """
    if answer.code != DONE:
        return _row(answer, codes.REFUND_QUERY_CODES, codes.REFUND_QUERY_WORDS)
    match answer.refund_status:
        case "REFUND_SUCCESS":
            return (
                _differs("out_trade_no", request.out_trade_no, answer.out_trade_no)
                or _differs("out_request_no", request.out_refund_no, answer.out_request_no)
                or _differs_in_amount("refund_amount", request.refund_amount, answer.refund_amount)
                or _refund_succeeded(answer, request)
            )
        case "REFUND_PROCESSING":
            return RefundPending(
                channel_code="REFUND_PROCESSING", channel_refund_no=request.out_refund_no
            )
        case "" if answer.refund_amount == "":
            return RefundNotFound(channel_code=DONE)
        case "":
            return Unknown(reason=STATUS_ABSENT, channel_code=DONE)
        case status:
            return replace(UNLISTED, channel_code=_short(status))


def notified(params: Mapping[str, str], app_id: str, seller_id: str, evidence: str) -> Callback:
    """What a verified notify proves.

    Raises `CallbackRefused`: foreign_app, foreign_seller, malformed. `seller_id` is optional in
    Alipay's documents, and so is the amount of a trade that is not paid.

    Its own time is not looked at: Alipay sends a notify again for a day. The key is made of the
    business state, since `notify_id` and `notify_time` may differ between two sends of one event.
    """
    if params.get("app_id") != app_id:
        raise CallbackRefused("foreign_app")
    if params.get("seller_id", seller_id) != seller_id:
        raise CallbackRefused("foreign_seller")
    number, trade_no, status, total = (
        params.get(name, "")
        for name in ("out_trade_no", "trade_no", "trade_status", "total_amount")
    )
    amount = wire.fen(total)
    is_yes = status in {"TRADE_SUCCESS", "TRADE_FINISHED"}
    if not (number and trade_no and status) or (amount is None and (is_yes or total)):
        raise CallbackRefused("malformed")
    refund_no, refund_fee = (params.get(name, "") for name in ("out_biz_no", "refund_fee"))
    # `refund_fee=0.00` stands on ordinary notifies of a payment, paid or closed.
    about_refund = bool(refund_no or params.get("gmt_refund")) or wire.fen(refund_fee or "0") != 0
    learned: Succeeded | Closed | None = None
    if is_yes and amount is not None:
        learned = _succeeded_by_notify(params, amount, trade_no, evidence)
    elif status == "TRADE_CLOSED":
        was_charged = True if about_refund or params.get("gmt_payment") else None
        learned = Closed(
            was_charged=was_charged,
            channel_code=status,
            channel_trade_no=trade_no,
            evidence=evidence,
        )
    return Callback(
        event_key=f"{trade_no}|{status}|{total}|{refund_no}|{refund_fee}",
        kind="refund" if about_refund else "pay",
        out_trade_no=number,
        amount=amount,
        learned=learned,
        out_refund_no=refund_no or None,
    )


# --- parts


def _row(
    answer: wire.Answer,
    by_code: Mapping[str, _Row],
    by_word: Mapping[str, _Row],
    families: Mapping[str, _Row] | None = None,
) -> _Row:
    """The table's row for what the answer says, naming the word as it came."""
    said = _short(f"{answer.code} {answer.sub_code}".strip())
    if answer.code != BUSINESS_FAILED:
        return replace(by_code.get(answer.code, UNLISTED), channel_code=said)
    word = codes.word(answer.sub_code)
    row = by_word.get(word) or next(
        (row for prefix, row in (families or {}).items() if word.startswith(prefix)), UNLISTED
    )
    return replace(row, channel_code=said)


def _succeeded(
    answer: wire.Answer, ours: PayRequest | TradeRef, seller_id: str, *, paid_at: str
) -> Succeeded | Mismatch | Unknown:
    if not answer.trade_no:
        return Unknown(reason=INCOMPLETE, channel_code=answer.code)
    foreign = _foreign(answer, ours.out_trade_no, seller_id) or _differs_in_amount(
        "total_amount", ours.amount, answer.total_amount
    )
    if foreign:
        return foreign
    discounts = _discounts(
        answer.voucher_detail_list, answer.mdiscount_amount, answer.discount_amount
    )
    return Succeeded(
        amount=ours.amount,
        channel_trade_no=answer.trade_no,
        received_amount=_received(answer.receipt_amount, ours.amount, discounts),
        paid_at=wire.moment(paid_at),
        payer_masked=_masked(answer.buyer_logon_id),
        discounts=discounts,
    )


def _succeeded_by_notify(
    params: Mapping[str, str], amount: int, trade_no: str, evidence: str
) -> Succeeded:
    discounts = _discounts(
        params.get("voucher_detail_list", ""),
        params.get("mdiscount_amount", ""),
        params.get("discount_amount", ""),
    )
    return Succeeded(
        amount=amount,
        channel_trade_no=trade_no,
        received_amount=_received(params.get("receipt_amount", ""), amount, discounts),
        paid_at=wire.moment(params.get("gmt_payment", "")),
        payer_masked=_masked(params.get("buyer_logon_id", "")),
        discounts=discounts,
        evidence=evidence,
    )


def _discounts(
    vouchers: msgspec.Raw | str, by_merchant: wire.Yuan, by_channel: wire.Yuan
) -> tuple[Discount, ...]:
    """By voucher, or where none is listed the two sums."""
    sums = (("merchant", "商家优惠", by_merchant), ("channel", "平台优惠", by_channel))
    return wire.discounts(vouchers) or tuple(
        Discount(name=name, amount=amount, funded_by=payer)
        for payer, name, text in sums
        if (amount := wire.fen(text))
    )


def _received(receipt: wire.Yuan, amount: int, discounts: tuple[Discount, ...]) -> int | None:
    """Fen that reach the merchant; None: not told.

    A receipt of 0.00 means that the funds were not asked for, unless the merchant's own discounts
    explain it.
    """
    received = wire.fen(receipt)
    if received is None or received > amount:
        return None
    given = sum(discount.amount for discount in discounts if discount.funded_by == "merchant")
    return received if received > 0 or given == amount else None


def _refund_succeeded(answer: wire.Answer, request: RefundRequest) -> RefundSucceeded:
    """Alipay gives a refund no number of its own: its bill names it by our request number."""
    return RefundSucceeded(
        amount=request.refund_amount,
        channel_refund_no=request.out_refund_no,
        refunded_at=wire.moment(answer.gmt_refund_pay),
    )


def _foreign(answer: wire.Answer, out_trade_no: str, seller_id: str) -> Mismatch | Unknown | None:
    """Nearly no answer names the seller; the one that does must name ours."""
    return _differs("out_trade_no", out_trade_no, answer.out_trade_no) or _differs(
        "seller_id", seller_id, answer.seller_id or seller_id
    )


def _differs(field: str, expected: str, got: str) -> Mismatch | Unknown | None:
    if not got:
        return Unknown(reason=INCOMPLETE, channel_code=DONE)
    return None if got == expected else Mismatch(field=field, expected=expected, got=_short(got))


def _differs_in_amount(field: str, expected: int, got: wire.Yuan) -> Mismatch | Unknown | None:
    if got == "":
        return Unknown(reason=INCOMPLETE, channel_code=DONE)
    return (
        None
        if wire.fen(got) == expected
        else Mismatch(field=field, expected=yuan(expected), got=_short(str(got)))
    )


def _masked(logon_id: str) -> str | None:
    """Alipay masks it already; one that is not masked is not kept."""
    return logon_id if "*" in logon_id else None


def _short(text: str) -> str:
    return text[:CHANNEL_CODE_CHARS_MAX]

"""Ours and Template's, pure.

Answers that come here are already verified; a word in no table is `Unknown`, and counted.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from adapters._template.wire import Answer
from adapters.channel import (
    UNLISTED_CODE,
    Callback,
    CallbackRefused,
    PayRequest,
    RefundRequest,
    TradeRef,
)
from gateway.domain.outcomes import (
    AlreadyExists,
    CallAgain,
    CancelOutcome,
    Closed,
    Declined,
    FailureCode,
    Mismatch,
    NotFound,
    NothingThere,
    PayerActionNeeded,
    PayOutcome,
    QueryOutcome,
    RefundDeclined,
    RefundNotFound,
    RefundOutcome,
    RefundPending,
    RefundQueryOutcome,
    RefundSucceeded,
    Retry,
    Reversed,
    Succeeded,
    Unknown,
    UseRefund,
)

DONE: Final = "OK"
UNLISTED: Final = Unknown(reason=UNLISTED_CODE)
UNDECIDED: Final = Unknown(reason="undecided")  # a listed word that proves nothing
STATUS_ABSENT: Final = Unknown(reason="status_absent")  # signed, found, and without a state

PAY_CODES: Final[Mapping[str, Declined | AlreadyExists | Unknown]] = MappingProxyType(
    {
        "NO_BALANCE": Declined(
            code=FailureCode.INSUFFICIENT_BALANCE, retry=Retry.OTHER_METHOD, failover_useful=False
        ),
        "CODE_INVALID": Declined(
            code=FailureCode.AUTH_CODE_INVALID, retry=Retry.RESCAN, failover_useful=False
        ),
        "MERCHANT_BLOCKED": Declined(
            code=FailureCode.MERCHANT_RESTRICTED, retry=Retry.OTHER_METHOD, failover_useful=True
        ),
        "EXPIRED": Declined(
            code=FailureCode.NOT_CHARGED, retry=Retry.RESCAN, failover_useful=False
        ),
        "EXISTS": AlreadyExists(),
        "SYSTEM_ERROR": UNDECIDED,
    }
)
QUERY_CODES: Final[Mapping[str, NotFound | Unknown]] = MappingProxyType(
    {"NOT_FOUND": NotFound(), "SYSTEM_ERROR": UNDECIDED}
)
CANCEL_CODES: Final[Mapping[str, NothingThere | CallAgain | UseRefund | Unknown]] = (
    MappingProxyType(
        {
            "NOT_FOUND": NothingThere(),
            "AGAIN": CallAgain(),
            "SYSTEM_ERROR": CallAgain(),
            "TOO_LATE": UseRefund(),
        }
    )
)
REFUND_CODES: Final[Mapping[str, RefundDeclined | Unknown]] = MappingProxyType(
    {
        "NOT_REFUNDABLE": RefundDeclined(code="refund_refused", needs_action=False),
        "SYSTEM_ERROR": UNDECIDED,
    }
)
REFUND_QUERY_CODES: Final[Mapping[str, RefundNotFound | Unknown]] = MappingProxyType(
    {"NOT_FOUND": RefundNotFound(), "SYSTEM_ERROR": UNDECIDED}
)


def paid(answer: Answer, request: PayRequest, merchant_id: str) -> PayOutcome:
    """What the answer to a payment tells."""
    if answer.code != DONE:
        return replace(PAY_CODES.get(answer.code, UNLISTED), channel_code=answer.code)
    trade = _trade(answer, request, merchant_id)
    return replace(UNLISTED, channel_code=answer.state) if isinstance(trade, Closed) else trade


def precreated(answer: Answer, request: PayRequest, merchant_id: str) -> PayOutcome:
    """What the answer to a QR code's creation tells."""
    if answer.code != DONE:
        return replace(PAY_CODES.get(answer.code, UNLISTED), channel_code=answer.code)
    foreign = _differs(answer, {"merchant_id": merchant_id, "out_trade_no": request.out_trade_no})
    if foreign:
        return foreign
    return (
        PayerActionNeeded(qr_code=answer.qr_code, channel_code=DONE)
        if answer.qr_code
        else Unknown(reason="incomplete")
    )


def queried(answer: Answer, trade: TradeRef, merchant_id: str) -> QueryOutcome:
    """What a query tells."""
    if answer.code != DONE:
        return replace(QUERY_CODES.get(answer.code, UNLISTED), channel_code=answer.code)
    return _trade(answer, trade, merchant_id)


def canceled(answer: Answer, trade: TradeRef) -> CancelOutcome:
    """What a cancel tells."""
    if answer.code != DONE:
        return replace(CANCEL_CODES.get(answer.code, UNLISTED), channel_code=answer.code)
    if answer.out_trade_no != trade.out_trade_no:
        return Unknown(reason="foreign_order")
    match answer.state:
        case "CLOSED":
            return Reversed(was_charged=False, channel_code=answer.state)
        case "REVERSED":
            return Reversed(was_charged=True, channel_code=answer.state)
        case "":
            return STATUS_ABSENT
        case state:
            return replace(UNLISTED, channel_code=state)


def refunded(answer: Answer, request: RefundRequest, merchant_id: str) -> RefundOutcome:
    """What the answer to a refund tells."""
    if answer.code != DONE:
        return replace(REFUND_CODES.get(answer.code, UNLISTED), channel_code=answer.code)
    return _refund(answer, request, merchant_id)


def refund_queried(answer: Answer, request: RefundRequest, merchant_id: str) -> RefundQueryOutcome:
    """What a refund's query tells."""
    if answer.code != DONE:
        return replace(REFUND_QUERY_CODES.get(answer.code, UNLISTED), channel_code=answer.code)
    return _refund(answer, request, merchant_id)


def notified(answer: Answer, merchant_id: str, evidence: str) -> Callback:
    """What a verified callback proves. Raises `CallbackRefused`."""
    if answer.merchant_id != merchant_id:
        raise CallbackRefused("foreign_merchant")
    if not (answer.out_trade_no and answer.trade_no and answer.state) or answer.amount is None:
        raise CallbackRefused("malformed")
    refund = (
        RefundSucceeded(amount=answer.refund_amount, channel_refund_no=answer.out_refund_no)
        if answer.refund_amount
        else None
    )
    return Callback(
        event_key=f"{answer.trade_no}|{answer.state}|{answer.amount}|{answer.out_refund_no}",
        kind="refund" if answer.out_refund_no else "pay",
        out_trade_no=answer.out_trade_no,
        amount=answer.amount,
        learned=_succeeded(answer, answer.amount, evidence) if answer.state == "PAID" else None,
        out_refund_no=answer.out_refund_no or None,
        refund=refund,
    )


def _trade(
    answer: Answer, ours: PayRequest | TradeRef, merchant_id: str
) -> Succeeded | PayerActionNeeded | Closed | Mismatch | Unknown:
    facts = {"merchant_id": merchant_id, "out_trade_no": ours.out_trade_no}
    foreign = _differs(answer, facts | ({"amount": ours.amount} if answer.state == "PAID" else {}))
    if foreign:
        return foreign
    match answer.state:
        case "PAID" if answer.trade_no:
            return _succeeded(answer, ours.amount)
        case "PAID":
            return Unknown(reason="incomplete")
        case "WAITING":
            return PayerActionNeeded(
                channel_code=answer.state, channel_trade_no=answer.trade_no or None
            )
        case "CLOSED":
            return Closed(was_charged=False, channel_code=answer.state)
        case "REVERSED" | "REFUNDED":
            return Closed(was_charged=True, channel_code=answer.state)
        case "":
            return STATUS_ABSENT
        case state:
            return replace(UNLISTED, channel_code=state)


def _succeeded(answer: Answer, amount: int, evidence: str = "") -> Succeeded:
    paid_at = (
        None if answer.paid_at_ms is None else datetime.fromtimestamp(answer.paid_at_ms / 1000, UTC)
    )
    return Succeeded(
        amount=amount, channel_trade_no=answer.trade_no, paid_at=paid_at, evidence=evidence
    )


def _refund(
    answer: Answer, request: RefundRequest, merchant_id: str
) -> RefundSucceeded | RefundPending | Mismatch | Unknown:
    facts = {
        "merchant_id": merchant_id,
        "out_trade_no": request.out_trade_no,
        "out_refund_no": request.out_refund_no,
    }
    foreign = _differs(answer, facts | {"refund_amount": request.refund_amount})
    if foreign:
        return foreign
    if answer.state == "REFUNDED":
        return RefundSucceeded(
            amount=request.refund_amount, channel_refund_no=request.out_refund_no
        )
    if answer.state == "REFUNDING":
        return RefundPending(channel_code=answer.state)
    if not answer.state:
        return STATUS_ABSENT
    return replace(UNLISTED, channel_code=answer.state)


def _differs(answer: Answer, facts: Mapping[str, str | int]) -> Mismatch | Unknown | None:
    """The first fact that the answer leaves out (`Unknown`) or gets wrong (`Mismatch`)."""
    for field, expected in facts.items():
        got = getattr(answer, field)
        if got in {"", None}:
            return Unknown(reason="incomplete")
        if got != expected:
            return Mismatch(field=field, expected=str(expected), got=str(got)[:64])
    return None

"""WeChat Pay's → ours, pure: what an answer proves.

Answers that come here are already verified; what their words prove stands in `codes`.

A trade or refund that names another merchant or number than ours is `Mismatch`, whatever it says;
one that says "yes" or "ended" and leaves out what we compare is `Unknown`. Only a trade of our own
amount, in our currency, becomes `Succeeded`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar

from adapters.channel import UNLISTED_CODE, Flow, PayRequest, RefundRequest, TradeRef
from adapters.wechat import wire
from adapters.wechat.codes import (
    CLOSE_CODES,
    LISTED,
    PAY_CODES,
    QUERY_CODES,
    REFUND_CODES,
    REFUND_QUERY_CODES,
    REFUND_STATES,
    REVERSE_CODES,
    TRADE_STATES,
    PayRow,
    QueryRow,
    Row,
    StateRow,
    word,
)
from adapters.wechat.orders import Merchant
from gateway.domain.outcomes import (
    CallAgain,
    CancelOutcome,
    Closed,
    Declined,
    Discount,
    Mismatch,
    NotFound,
    NothingThere,
    PayerActionNeeded,
    PayOutcome,
    Pending,
    QueryOutcome,
    RefundDeclined,
    RefundNotFound,
    RefundOutcome,
    RefundPending,
    RefundQueryOutcome,
    RefundSucceeded,
    Reversed,
    Succeeded,
    Unknown,
    UseRefund,
)
from gateway.limits import (
    WECHAT_CHANNEL_CODE_CHARS_MAX,
    WECHAT_QR_CODE_CHARS_MAX,
)

UNLISTED: Final = UNLISTED_CODE
UNREADABLE: Final = "unreadable"  # signed, but not of the shape it should have
INCOMPLETE: Final = "incomplete"  # signed, but without a field that we compare

OPENID_SHOWN_CHARS: Final = 4  # at either end

_PROOFS_OF_NO: Final = (Declined, NotFound, NothingThere, UseRefund, RefundDeclined, RefundNotFound)
_RowT = TypeVar("_RowT", bound=Row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A verified answer."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        """2xx: done, or accepted."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the class of success


def pay_outcome(merchant: Merchant, request: PayRequest, reply: Reply) -> PayOutcome:
    """What the answer to codepay or native says."""
    if not reply.is_success:
        return by_code(PAY_CODES, reply)
    if request.flow is Flow.QR:
        return _code_shown(reply)
    learned = _trade_outcome(merchant, request, reply, PAY_CODES)
    # No pay call ends a trade: an order that is over already is an older one with our number, for a
    # query to judge.
    return (
        Unknown(reason="ended", channel_code=learned.channel_code)
        if isinstance(learned, Closed | NotFound)
        else learned
    )


def query_outcome(merchant: Merchant, trade: TradeRef, reply: Reply) -> QueryOutcome:
    """What the answer to a query says."""
    return (
        _trade_outcome(merchant, trade, reply, QUERY_CODES)
        if reply.is_success
        else by_code(QUERY_CODES, reply)
    )


def reverse_outcome(merchant: Merchant, trade: TradeRef, reply: Reply) -> CancelOutcome:
    """What the answer to a reversal says. Whether the trade had been paid it does not say."""
    if reply.status not in {200, 204}:  # 202 is "accepted", not "done"
        return by_code(REVERSE_CODES, reply)
    if not reply.body:
        return Reversed(was_charged=None)
    done = wire.read(wire.ReverseDone, reply.body)
    if done is None or not done.out_trade_no:  # a code may come with a 200
        return by_code(REVERSE_CODES, reply)
    if done.out_trade_no != trade.out_trade_no or (done.mchid or merchant.mchid) != merchant.mchid:
        return Unknown(reason="other_trade")
    return CallAgain(channel_code="recall") if done.recall == "Y" else Reversed(was_charged=None)


def close_outcome(reply: Reply) -> CancelOutcome:
    """What the answer to a close says: only an unpaid order can be closed."""
    if reply.status == 204 and not reply.body:  # noqa: PLR2004 - the one status the page names
        return Reversed(was_charged=False)
    return by_code(CLOSE_CODES, reply)


def refund_outcome(request: RefundRequest, reply: Reply) -> RefundOutcome:
    """What the answer to a refund says."""
    return _refund_state(request, reply) if reply.is_success else by_code(REFUND_CODES, reply)


def refund_query_outcome(request: RefundRequest, reply: Reply) -> RefundQueryOutcome:
    """What the answer to a refund query says."""
    return _refund_state(request, reply) if reply.is_success else by_code(REFUND_QUERY_CODES, reply)


def by_code(table: Mapping[str, _RowT], reply: Reply) -> _RowT | Unknown:
    """The row of the answer's `code`.

    A proof of "no" needs a 4xx; a word in no table at all has the reason `UNLISTED`.
    """
    failure = wire.read(wire.Failure, reply.body)
    if failure is None or not failure.code:
        return Unknown(reason=UNREADABLE)
    code = failure.code[:WECHAT_CHANNEL_CODE_CHARS_MAX]
    row = table.get(word(code))
    if row is None:
        return Unknown(reason="undecided" if word(code) in LISTED else UNLISTED, channel_code=code)
    if isinstance(row, _PROOFS_OF_NO) and not 400 <= reply.status < 500:  # noqa: PLR2004 - the class of refusals
        return Unknown(reason="no_proof", channel_code=code)
    return replace(row, channel_code=code)


def _code_shown(reply: Reply) -> PayOutcome:
    created = wire.read(wire.NativeCreated, reply.body)
    if created is None or not 0 < len(created.code_url) <= WECHAT_QR_CODE_CHARS_MAX:
        return Unknown(reason=UNREADABLE)
    return PayerActionNeeded(qr_code=created.code_url)


def _trade_outcome(
    merchant: Merchant,
    ours: PayRequest | TradeRef,
    reply: Reply,
    codes: Mapping[str, PayRow] | Mapping[str, QueryRow],
) -> QueryOutcome:
    trade = wire.read(wire.Transaction, reply.body)
    if trade is None:
        return Unknown(reason=UNREADABLE)
    if not trade.trade_state:  # "accepted" may come as 202 with a code
        return by_code(codes, reply)
    if foreign := _other_trade(merchant, ours.out_trade_no, trade):
        return foreign
    if trade.trade_state == "SUCCESS":
        return _paid(ours, trade)
    row = TRADE_STATES[ours.flow].get(word(trade.trade_state))
    if row is None:
        return Unknown(
            reason=UNLISTED, channel_code=trade.trade_state[:WECHAT_CHANNEL_CODE_CHARS_MAX]
        )
    return _in_state(row, trade)


def _other_trade(merchant: Merchant, out_trade_no: str, trade: wire.Transaction) -> Mismatch | None:
    compared = (
        ("mchid", merchant.mchid, trade.mchid),
        ("appid", merchant.appid, trade.appid),
        ("out_trade_no", out_trade_no, trade.out_trade_no),
    )
    for field, expected, got in compared:
        if got and got != expected:
            return Mismatch(field=field, expected=expected, got=got)
    return None


def _paid(ours: PayRequest | TradeRef, trade: wire.Transaction) -> QueryOutcome:
    amount = trade.amount
    if (
        amount is None
        or amount.total is None
        or not (trade.mchid and trade.out_trade_no and trade.transaction_id)
    ):
        return Unknown(reason=INCOMPLETE, channel_code=trade.trade_state)
    if amount.currency != ours.currency:
        return Mismatch(field="currency", expected=ours.currency, got=amount.currency)
    if amount.total != ours.amount:
        return Mismatch(field="amount", expected=str(ours.amount), got=str(amount.total))
    return succeeded(trade, amount.total)


def succeeded(trade: wire.Transaction, total: int) -> Succeeded:
    """A paid trade as we book it. `total` is the order's gross, in fen."""
    coupons = wire.read(list[wire.Promotion], bytes(trade.promotion_detail)) or []
    return Succeeded(
        amount=total,
        channel_trade_no=trade.transaction_id,
        received_amount=_received(trade, coupons, total),
        paid_at=instant(trade.success_time),
        payer_masked=_masked(trade.payer.openid) if trade.payer else None,
        discounts=tuple(_discounts(coupons)),
    )


def _in_state(row: StateRow, trade: wire.Transaction) -> QueryOutcome:
    match row:
        case Closed() if not (trade.mchid and trade.out_trade_no):
            return Unknown(reason=INCOMPLETE, channel_code=trade.trade_state)
        case Closed() | Pending() | PayerActionNeeded():
            return replace(
                row, channel_code=trade.trade_state, channel_trade_no=trade.transaction_id or None
            )
        case Unknown():
            return replace(row, channel_code=trade.trade_state)


def _refund_state(request: RefundRequest, reply: Reply) -> RefundOutcome:
    refund = wire.read(wire.Refund, reply.body)
    if refund is None or not refund.state:
        return Unknown(reason=UNREADABLE)
    if foreign := _other_refund(request, refund):
        return foreign
    if not (refund.out_refund_no and refund.refund_id):
        return Unknown(reason=INCOMPLETE, channel_code=refund.state[:WECHAT_CHANNEL_CODE_CHARS_MAX])
    return refund_in_state(refund)


def refund_in_state(refund: wire.Refund) -> RefundOutcome:
    """What a refund that is ours says by its state."""
    state, accepted_at = refund.state, instant(refund.create_time)
    if state == "SUCCESS":
        if refund.amount is None or refund.amount.refund is None:
            return Unknown(reason=INCOMPLETE, channel_code=state)
        return RefundSucceeded(
            amount=refund.amount.refund,
            channel_refund_no=refund.refund_id,
            refunded_at=instant(refund.success_time),
            accepted_at=accepted_at,
        )
    row = REFUND_STATES.get(word(state))
    match row:
        case None:
            return Unknown(reason=UNLISTED, channel_code=state[:WECHAT_CHANNEL_CODE_CHARS_MAX])
        case RefundPending():
            return replace(
                row,
                channel_code=state,
                channel_refund_no=refund.refund_id or None,
                accepted_at=accepted_at,
            )
        case _:
            return replace(row, channel_code=state)


def _other_refund(request: RefundRequest, refund: wire.Refund) -> Mismatch | None:
    amount = refund.amount or wire.RefundAmount()
    compared = (
        ("out_trade_no", request.out_trade_no, refund.out_trade_no or request.out_trade_no),
        ("out_refund_no", request.out_refund_no, refund.out_refund_no or request.out_refund_no),
        (
            "refund_amount",
            request.refund_amount,
            request.refund_amount if amount.refund is None else amount.refund,
        ),
        (
            "total_amount",
            request.total_amount,
            request.total_amount if amount.total is None else amount.total,
        ),
        ("currency", request.currency, amount.currency),
    )
    for field, expected, got in compared:
        if got != expected:
            return Mismatch(field=field, expected=str(expected), got=str(got))
    return None


def _received(trade: wire.Transaction, coupons: Sequence[wire.Promotion], total: int) -> int | None:
    """Fen that reach the merchant before fees: all but NOCASH coupons.

    None, not told, when coupons were used and not listed, or listed with more than the order had.
    """
    if coupons:
        received = total - sum(each.amount or 0 for each in coupons if each.type == "NOCASH")
        return received if 0 <= received <= total else None
    return total if trade.amount is not None and trade.amount.payer_total == total else None


def _discounts(coupons: Sequence[wire.Promotion]) -> list[Discount]:
    found = []
    for coupon in coupons:
        merchants_part = coupon.merchant_contribute or 0
        for funded_by, part in (
            ("merchant", merchants_part),
            ("channel", (coupon.amount or 0) - merchants_part),
        ):
            if part > 0:
                found.append(Discount(name=coupon.name, amount=part, funded_by=funded_by))
    return found


def _masked(openid: str) -> str | None:
    if len(openid) <= 2 * OPENID_SHOWN_CHARS:
        return None
    return f"{openid[:OPENID_SHOWN_CHARS]}****{openid[-OPENID_SHOWN_CHARS:]}"


def instant(text: str) -> datetime | None:
    """An RFC 3339 time with its zone; None for anything else,
    because a missing time changes no outcome.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None

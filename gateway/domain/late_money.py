"""Money after we had said no. It goes back by a refund of the very write that books it.

And the question that comes first: a yes was heard about an attempt that had ended uncharged, and
the channel will not say what became of the money. The question stays in the books, as the attempt's
next visit, until a definite answer.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.case import Case, CaseKind
from gateway.domain.change import Change, changed, refund_event
from gateway.domain.evidence import case_about, evidence_of, heard, noted
from gateway.domain.occasion import Occasion
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.silence import silent_too_long
from gateway.domain.states import ATTEMPT, PAYMENT_UNCHARGED, check_move, next_state
from gateway.domain.statuses import AttemptStatus, RefundStatus
from gateway.domain.words import EvidenceWord, Origin


def captured(attempt: Attempt, outcome: o.Succeeded, occasion: Occasion) -> Attempt:
    received = outcome.amount if outcome.received_amount is None else outcome.received_amount
    return replace(
        heard(attempt, outcome, occasion), captured_amount=outcome.amount, received_amount=received
    )


def captured_late(
    payment: Payment, attempt: Attempt, outcome: o.Succeeded, occasion: Occasion
) -> Change:
    """Money of an attempt that had ended uncharged, or of an overridden payment.

    Where another attempt is live or has settled, it is surplus: the payment does not move.
    """
    is_payments = attempt.live or payment.status in PAYMENT_UNCHARGED
    origin = Origin.LATE if is_payments else Origin.SURPLUS
    seen = captured(attempt, outcome, occasion)
    if not is_payments:
        seen = noted(seen, evidence_of(EvidenceWord.SURPLUS, occasion))
    seen = replace(
        seen,
        status=check_move("attempt", ATTEMPT, attempt.status, AttemptStatus.CAPTURED_LATE),
        due_at=None,
        reserved_amount=seen.captured_amount,
        surplus=not is_payments,
    )
    refund = late_refund(payment, seen, origin, occasion)
    fields: dict[str, Any] = {}
    if is_payments:
        paid_at = outcome.paid_at or occasion.now
        fields = {
            **occasion.days.of_success(payment, attempt, paid_at, counts_at=occasion.now),
            "status": next_state(payment.status, "confirmed", overridden=attempt.live),
            "paid_at": paid_at,
            "late_refund": RefundStatus.REQUESTED,
            "failure": None,
            "payer_masked": outcome.payer_masked,
        }
    kind = CaseKind.CAPTURED_LATE if is_payments else CaseKind.CAPTURED_SURPLUS
    change = changed(
        payment, seen, occasion, case=case_about(kind, attempt, outcome, occasion), **fields
    )
    return replace(
        change,
        new_refund=refund,
        events=(*change.events, refund_event(refund, was=None, at=occasion.now)),
    )


def late_refund(payment: Payment, attempt: Attempt, origin: Origin, occasion: Occasion) -> Refund:
    """Its numbers are fixed, so it is made once only."""
    refund_no = f"{origin}.{attempt.out_trade_no}"
    return Refund(
        id=occasion.new_id("ref"),
        merchant_id=payment.merchant_id,
        payment_id=payment.id,
        store_id=payment.store_id,
        attempt_id=attempt.id,
        channel=attempt.channel,
        channel_account=attempt.channel_account,
        refund_no=refund_no,
        out_refund_no=occasion.numbers.refund(attempt.out_trade_no, refund_no),
        amount=attempt.captured_amount,
        currency=payment.currency,
        origin=origin,
        status=RefundStatus.REQUESTED,
        reason="paid another way"
        if payment.overridden_at is not None
        else "money after a proven no",
        created_at=occasion.now,
        business_date=occasion.days.business_date(
            payment.merchant_id, payment.store_id, occasion.now
        ),
        due_at=occasion.now,
    )


def asked(payment: Payment, attempt: Attempt, again_at: datetime, occasion: Occasion) -> Change:
    """Durable before the question leaves, and again after each that was not answered.

    After some of these a person should know.
    """
    item = evidence_of(EvidenceWord.LATE_ANSWER_UNCLEAR, occasion)
    if attempt.due_at is None:  # asked for the first time: noted once, however often it is repeated
        seen = replace(noted(attempt, item), silences=1)
    else:
        seen = replace(attempt, silences=attempt.silences + 1)
    case = None
    if silent_too_long(seen.silences):
        case = Case(
            id=occasion.new_id("case"),
            kind=CaseKind.LATE_ANSWER_UNCLEAR,
            attempt_id=attempt.id,
            evidence=item,
        )
    return changed(payment, replace(seen, due_at=again_at), occasion, case=case)


def answered(payment: Payment, attempt: Attempt, occasion: Occasion) -> Change | None:
    """The channel has said what became of the money, and that is booked: nothing is left to ask."""
    if attempt.due_at is None:
        return None
    return changed(payment, replace(attempt, due_at=None, silences=0), occasion)

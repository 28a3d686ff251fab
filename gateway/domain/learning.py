"""What one channel outcome does to a payment: the tables of `states`, applied.

Pure, and the same for a pay answer, a query, a cancel, a callback and a person closing a case.

`learned` returns the change to write, or None when there is nothing to write: a true repeat, or a
"no" of an attempt whose epoch was lost (after a second send, "code used" may mean that our first
send took the money). The end of an attempt is `domain.ending`'s, money after the end
`domain.late_money`'s, and when to ask next `flow.learn.schedule`'s.
"""

from __future__ import annotations

from typing import Any, assert_never

from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.case import CaseKind
from gateway.domain.change import Change, changed
from gateway.domain.ending import ended_unpaid, refused
from gateway.domain.evidence import case_about, heard
from gateway.domain.late_money import captured, captured_late
from gateway.domain.occasion import Occasion, Outcome
from gateway.domain.payment import Attempt, Payment
from gateway.domain.silence import cancelled_in_vain, silent_too_long
from gateway.domain.states import ATTEMPT, ATTEMPT_UNCHARGED, check_move, next_state
from gateway.domain.statuses import AttemptStatus
from gateway.domain.words import LastCancel, Source


def learned(
    payment: Payment, attempt: Attempt, outcome: Outcome, occasion: Occasion
) -> Change | None:
    """The change `outcome` makes, versions raised, events written. Raises `IllegalTransition`."""
    if isinstance(outcome, o.Succeeded) and outcome.amount != payment.amount:
        outcome = o.Mismatch(
            field="amount",
            expected=str(payment.amount),
            got=str(outcome.amount),
            evidence=outcome.evidence,
        )
    match outcome:
        case o.Succeeded():
            return _confirmed(payment, attempt, outcome, occasion)
        case o.Pending() | o.PayerActionNeeded():
            return _undecided(payment, attempt, outcome, occasion)
        case o.Declined() | o.NotSent() if occasion.source == Source.PAY:
            return refused(payment, attempt, outcome, occasion)
        case o.Declined():
            return ended_unpaid(payment, attempt, outcome, o.Proof.FINAL_STATE, occasion)
        case o.Mismatch():
            return _mismatch(payment, attempt, outcome, occasion)
        case o.Closed():
            return _closed(payment, attempt, outcome, occasion)
        case o.Reversed():
            return ended_unpaid(payment, attempt, outcome, o.Proof.CANCEL_CONFIRMED, occasion)
        case o.NotFound():
            return _not_found(payment, attempt, outcome, occasion)
        case o.NothingThere() | o.CallAgain() | o.UseRefund():
            return _cancel_undecided(payment, attempt, outcome, occasion)
        case o.Unknown() | o.AlreadyExists() | o.NotSent():
            return _silence(payment, attempt, outcome, occasion)
        case _:
            assert_never(outcome)


def _confirmed(
    payment: Payment, attempt: Attempt, outcome: o.Succeeded, occasion: Occasion
) -> Change | None:
    if attempt.status in ATTEMPT_UNCHARGED:
        if occasion.source == Source.CALLBACK or not occasion.asked_after_end:
            # It may be older than the cancel that gave this money back: `late_money` asks.
            return None
        if payment.frozen_at is not None:  # refunds stand still too, until a person has looked
            return changed(payment, heard(attempt, outcome, occasion), occasion)
        return captured_late(payment, attempt, outcome, occasion)
    if not attempt.live:
        return None
    if payment.frozen_at is not None or (
        attempt.status == AttemptStatus.CANCELLING and attempt.last_cancel != LastCancel.USE_REFUND
    ):
        # Evidence only: a person decides, or the cancel may still take the money back and is
        # repeated.
        again = None if attempt.last_cancel == LastCancel.NOTHING_THERE else attempt.last_cancel
        return changed(
            payment, replace(heard(attempt, outcome, occasion), last_cancel=again), occasion
        )
    if payment.overridden_at is not None:
        return captured_late(payment, attempt, outcome, occasion)
    check_move("attempt", ATTEMPT, attempt.status, AttemptStatus.SUCCEEDED)
    seen = replace(
        captured(attempt, outcome, occasion), status=AttemptStatus.SUCCEEDED, due_at=None
    )
    paid_at = outcome.paid_at or occasion.now
    fields: dict[str, Any] = {
        **occasion.days.of_success(payment, attempt, paid_at, counts_at=paid_at),
        "paid_at": paid_at,
        "payer_masked": outcome.payer_masked,
        "discounts": _discounts(outcome),
    }
    return changed(
        payment, seen, occasion, status=next_state(payment.status, "confirmed"), **fields
    )


def _undecided(
    payment: Payment, attempt: Attempt, outcome: o.Pending | o.PayerActionNeeded, occasion: Occasion
) -> Change | None:
    if not attempt.live:
        return None
    seen = heard(attempt, outcome, occasion)
    if (
        attempt.status == AttemptStatus.CANCELLING
        or payment.frozen_at is not None
        or payment.overridden_at is not None
    ):
        return changed(payment, seen, occasion)
    if (
        payment.flow.facts.is_shown
        and isinstance(outcome, o.PayerActionNeeded)
        and not (outcome.qr_code or payment.qr_code)
    ):
        # The order stands, but the answer with its code was lost: no customer can pay it, so it is
        # cancelled like any other unknown.
        if attempt.status == AttemptStatus.SENT:
            seen = replace(seen, status=AttemptStatus.IN_DOUBT)
        return changed(payment, seen, occasion, status=next_state(payment.status, "lost_sight"))
    seen = replace(seen, status=AttemptStatus.PENDING)
    if isinstance(outcome, o.Pending):
        return changed(payment, seen, occasion)
    status = next_state(payment.status, "payer_needed")
    return changed(
        payment, seen, occasion, status=status, qr_code=outcome.qr_code or payment.qr_code
    )


def _closed(
    payment: Payment, attempt: Attempt, outcome: o.Closed, occasion: Occasion
) -> Change | None:
    if (
        attempt.status in (AttemptStatus.SUCCEEDED, AttemptStatus.CAPTURED_LATE)
        and attempt.refundable > 0
    ):
        # Closed means given back in full, and no refund of ours explains it.
        return changed(
            payment,
            heard(attempt, outcome, occasion),
            occasion,
            case=case_about(CaseKind.CLOSED_AFTER_SUCCESS, attempt, outcome, occasion),
        )
    return ended_unpaid(payment, attempt, outcome, o.Proof.FINAL_STATE, occasion)


def _not_found(
    payment: Payment, attempt: Attempt, outcome: o.NotFound, occasion: Occasion
) -> Change | None:
    if not attempt.live:
        return None
    if (
        attempt.status == AttemptStatus.CANCELLING
        and attempt.last_cancel == LastCancel.NOTHING_THERE
        and occasion.proof_passed
    ):
        return ended_unpaid(payment, attempt, outcome, o.Proof.NOT_FOUND_TWICE, occasion)
    seen = replace(heard(attempt, outcome, occasion), not_founds=attempt.not_founds + 1)
    return changed(payment, seen, occasion)


def _cancel_undecided(
    payment: Payment, attempt: Attempt, outcome: o.CancelOutcome, occasion: Occasion
) -> Change | None:
    if attempt.status != AttemptStatus.CANCELLING:
        return None
    seen = replace(
        heard(attempt, outcome, occasion),
        last_cancel=LastCancel(outcome.word),
        cancels=attempt.cancels + 1,
    )
    case = (
        case_about(CaseKind.LONG_IN_DOUBT, attempt, outcome, occasion)
        if isinstance(outcome, o.CallAgain) and cancelled_in_vain(seen.cancels)
        else None
    )
    return changed(payment, seen, occasion, case=case)


def _silence(
    payment: Payment,
    attempt: Attempt,
    outcome: o.Silence,
    occasion: Occasion,
) -> Change | None:
    """Nothing was learned.

    Of the pay call that means: sent, and out of sight. One failed query is no event.
    """
    if not attempt.live:
        return None
    # A visit asks and then cancels: when both learn nothing, that is one silence. Silences pace
    # phase 2, whose steps are long.
    is_counted = occasion.silence_counted and attempt.silences > 0
    seen = replace(heard(attempt, outcome, occasion), silences=attempt.silences + (not is_counted))
    if occasion.source == Source.CANCEL:
        seen = replace(seen, last_cancel=LastCancel(outcome.word), cancels=attempt.cancels + 1)
    if attempt.status != AttemptStatus.SENT:
        # A trade that stays paid while its cancel is refused is never silent: its cancels are
        # counted.
        is_long = silent_too_long(seen.silences) or (
            occasion.source == Source.CANCEL and cancelled_in_vain(seen.cancels)
        )
        return changed(
            payment,
            seen,
            occasion,
            case=case_about(CaseKind.LONG_IN_DOUBT, attempt, outcome, occasion)
            if is_long
            else None,
        )
    return changed(
        payment,
        replace(seen, status=AttemptStatus.IN_DOUBT),
        occasion,
        status=next_state(payment.status, "lost_sight"),
    )


def _mismatch(
    payment: Payment, attempt: Attempt, outcome: o.Mismatch, occasion: Occasion
) -> Change | None:
    """The channel speaks of another amount, order or merchant: nothing is booked, the payment
    freezes, a person looks.
    """
    seen = heard(attempt, outcome, occasion)
    fields: dict[str, Any] = {"status": next_state(payment.status, "lost_sight")}
    if payment.frozen_at is None:
        fields |= {"frozen_at": occasion.now, "frozen_by": attempt.id}
    if attempt.status in (AttemptStatus.SENT, AttemptStatus.PENDING):
        seen = replace(seen, status=AttemptStatus.IN_DOUBT)
    return changed(
        payment,
        seen,
        occasion,
        case=case_about(CaseKind.MISMATCH, attempt, outcome, occasion),
        **fields,
    )


def _discounts(outcome: o.Succeeded) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"name": d.name, "amount": d.amount, "funded_by": d.funded_by} for d in outcome.discounts
    )

"""What the sweeper, a till, a supervisor or a person does to a payment: no channel's word. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.domain.case import Case, CaseKind
from gateway.domain.change import Change, changed
from gateway.domain.evidence import evidence_of, noted
from gateway.domain.occasion import Occasion
from gateway.domain.payment import Attempt, Payment
from gateway.domain.states import ATTEMPT, check_move, next_state
from gateway.domain.statuses import AttemptStatus
from gateway.domain.words import EvidenceWord


def taken(payment: Payment, attempt: Attempt, occasion: Occasion) -> Change:
    """The sweeper takes an attempt over from the worker that sent it: in doubt, and that worker's
    "no" no longer counts.
    """
    seen = replace(
        noted(attempt, evidence_of(EvidenceWord.TAKEN, occasion)),
        epoch=attempt.epoch + 1,
        status=AttemptStatus.IN_DOUBT,
    )
    return changed(payment, seen, occasion, status=next_state(payment.status, "lost_sight"))


def cancel_sent(payment: Payment, attempt: Attempt, occasion: Occasion) -> Change:
    """Durable before a cancel, close or reversal leaves."""
    status = check_move("attempt", ATTEMPT, attempt.status, AttemptStatus.CANCELLING)
    seen = replace(noted(attempt, evidence_of(EvidenceWord.CANCEL_SENT, occasion)), status=status)
    return changed(payment, seen, occasion, status=next_state(payment.status, "cancel_sent"))


def cancel_requested(payment: Payment, occasion: Occasion, *, by: str) -> Change:
    """The till's intent: from now on no further attempt opens, and a proven no ends `canceled`.

    `by`: the key that signed.
    """
    return changed(
        payment, None, occasion, cancel_requested_at=occasion.now, cancel_requested_by=by
    )


def overridden(payment: Payment, *, by: str, words: str, occasion: Occasion) -> Change:
    """A supervisor lets the payment `by` in although this one is in doubt.

    It stays `in_doubt` until it ends, never `succeeded`.

    Its attempt may have been known to wait for the payer: the payer is not asked to pay it any
    more, so that is forgotten.
    """
    attempt = payment.current
    status = (
        attempt.status
        if attempt.status == AttemptStatus.CANCELLING
        else check_move("attempt", ATTEMPT, attempt.status, AttemptStatus.IN_DOUBT)
    )
    item = evidence_of(EvidenceWord.OVERRIDDEN, occasion, words=words)
    return changed(
        payment,
        replace(noted(attempt, item), status=status),
        occasion,
        case=Case(
            id=occasion.new_id("case"),
            kind=CaseKind.OVERRIDE,
            attempt_id=attempt.id,
            evidence=item,
        ),
        overridden_at=payment.overridden_at or occasion.now,
        overridden_by=payment.overridden_by or by,
    )


def thawed(payment: Payment, occasion: Occasion) -> Change:
    """A person has looked at a frozen payment and lets it go on."""
    return changed(payment, None, occasion, frozen_at=None, frozen_by=None)

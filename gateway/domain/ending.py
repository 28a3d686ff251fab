"""The end of an attempt that did not charge, with proof; and what follows: the end of the payment,
or an attempt at another account in the same write.
"""

from __future__ import annotations

from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.change import Change, changed
from gateway.domain.evidence import heard
from gateway.domain.occasion import Occasion, Outcome
from gateway.domain.payment import Attempt, Failure, Payment
from gateway.domain.states import PaymentEvent, next_state
from gateway.domain.statuses import AttemptStatus


def refused(
    payment: Payment, attempt: Attempt, outcome: o.Declined | o.NotSent, occasion: Occasion
) -> Change | None:
    """A "no" to the attempt's only send.

    Another worker may have taken the attempt over since: then it proves nothing.
    """
    if attempt.status != AttemptStatus.SENT:
        return None
    if isinstance(outcome, o.NotSent):
        failure = Failure(
            code=o.FailureCode.CHANNEL_UNREACHABLE,
            retry=o.Retry.SAME_METHOD,
            channel_code=outcome.reason,
        )
        proof, to = o.Proof.NEVER_SENT, AttemptStatus.NOT_SENT
    else:
        failure = Failure(code=outcome.code, retry=outcome.retry, channel_code=outcome.channel_code)
        proof, to = outcome.proof, AttemptStatus.DECLINED
    # An earlier attempt froze it: nothing ends or goes on until a person has looked.
    if payment.frozen_at is not None:
        seen = replace(heard(attempt, outcome, occasion), status=AttemptStatus.IN_DOUBT)
        return changed(payment, seen, occasion, status=next_state(payment.status, "lost_sight"))
    ended = replace(heard(attempt, outcome, occasion, proof), status=to, due_at=None)
    return _finished(payment, ended, "exhausted", failure, occasion, outcome=outcome, proof=proof)


def ended_unpaid(
    payment: Payment, attempt: Attempt, outcome: Outcome, proof: o.Proof, occasion: Occasion
) -> Change | None:
    """Proven: this attempt has not charged on balance and cannot any more."""
    if not attempt.live:
        return None
    if payment.frozen_at is not None:
        return changed(payment, heard(attempt, outcome, occasion), occasion)
    ended = replace(
        heard(attempt, outcome, occasion, proof), status=AttemptStatus.REVERSED, due_at=None
    )
    retry = o.Retry.RESCAN if payment.flow.facts.is_spent_by_use else o.Retry.SAME_METHOD
    event: PaymentEvent
    if payer_was_asked(payment, attempt):
        event, failure = "expired", Failure(code=o.FailureCode.PAYER_TIMEOUT, retry=retry)
    else:
        event, failure = "exhausted", Failure(code=o.FailureCode.NOT_CHARGED, retry=retry)
    return _finished(payment, ended, event, failure, occasion, outcome=outcome, proof=proof)


def payer_was_asked(payment: Payment, attempt: Attempt) -> bool:
    """Whether a code was on display, or the last thing the channel said before the end was that it
    waits for the payer.
    """
    if payment.flow.facts.is_shown:
        # A channel may not know an order whose code was not scanned yet.
        return payment.qr_code is not None
    return attempt.payer_asked_at is not None


def _finished(
    payment: Payment,
    attempt: Attempt,
    event: PaymentEvent,
    failure: Failure,
    occasion: Occasion,
    *,
    outcome: Outcome,
    proof: o.Proof,
) -> Change:
    """The attempt has ended uncharged, with proof: so has the payment, unless another account goes
    on in the same write.
    """
    if payment.cancel_requested_at is not None:
        event = "canceled"
        failure = replace(failure, code=o.FailureCode.CANCELED, retry=o.Retry.SAME_METHOD)
    elif occasion.successor is not None and payment.overridden_at is None:
        following = occasion.successor(payment, attempt, outcome, proof)
        if isinstance(following, Attempt):
            status = next_state(payment.status, "sent")
            return changed(payment, attempt, occasion, following=following, status=status)
        if following is not None:
            failure = replace(failure, retry=following)
    status = next_state(payment.status, event)
    return changed(payment, attempt, occasion, status=status, failure=failure)

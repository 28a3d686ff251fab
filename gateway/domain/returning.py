"""Refunds: how one is reserved, and what a channel's word does to it.

The twin of `learning`, for money on its way back.

Every change of a refund is a change of its payment: the payment's version is the one thing
compared. Reserved plus returned never exceeds what that attempt captured.
"""

from __future__ import annotations

from typing import Any, assert_never

from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.case import Case, CaseKind
from gateway.domain.change import Change, Posting, changed, refund_event
from gateway.domain.evidence import evidence_about
from gateway.domain.occasion import Occasion
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.silence import refunded_in_vain, silent_too_long
from gateway.domain.states import REFUND, REFUND_OPEN, check_move
from gateway.domain.statuses import AttemptStatus, RefundStatus
from gateway.domain.words import Origin, Source
from gateway.limits import EVIDENCE_ITEMS_MAX


def reserved(payment: Payment, attempt: Attempt, refund: Refund, occasion: Occasion) -> Change:
    """The refund is durable before it is sent; its amount is reserved on the attempt."""
    held = replace(attempt, reserved_amount=attempt.reserved_amount + refund.amount)
    return _asked(payment, held, refund, occasion)


def returned_at_once(
    payment: Payment,
    attempt: Attempt,
    refund: Refund,
    postings: tuple[Posting, ...],
    occasion: Occasion,
) -> Change:
    """A local refund: made, succeeded and posted in its one write."""
    given = replace(attempt, returned_amount=attempt.returned_amount + refund.amount)
    return replace(_asked(payment, given, refund, occasion), postings=postings)


def refund_learned(
    payment: Payment, refund: Refund, outcome: o.RefundQueryOutcome, occasion: Occasion
) -> Change | None:
    """The change `outcome` makes, or None.

    `due_at` is set by the caller. Raises `IllegalTransition`.
    """
    if refund.status == RefundStatus.FAILED and isinstance(outcome, o.RefundSucceeded):
        return _given_after_all(payment, refund, outcome, occasion)
    if refund.status not in REFUND_OPEN:
        return None
    if isinstance(outcome, o.RefundSucceeded) and outcome.amount != refund.amount:
        outcome = o.Mismatch(
            field="refund_amount",
            expected=str(refund.amount),
            got=str(outcome.amount),
            evidence=outcome.evidence,
        )
    seen = _heard(refund, outcome, occasion)
    match outcome:
        case o.RefundSucceeded():
            return _succeeded(payment, seen, outcome, occasion)
        case o.RefundPending():
            return _accepted(payment, seen, refund, outcome, occasion)
        case o.RefundDeclined():
            return _declined(payment, seen, outcome, occasion)
        case o.Mismatch():
            case = _case(CaseKind.MISMATCH, seen, occasion, field=outcome.field)
            return _told(payment, _moved(seen, _in_doubt(refund)), refund, occasion, case=case)
        case o.Unknown():
            return _silence(payment, _moved(seen, _in_doubt(refund)), refund, occasion)
        case o.NotSent() | o.RefundNotFound():
            return _silence(payment, seen, refund, occasion)
        case _:
            assert_never(outcome)


def sent_again(payment: Payment, refund: Refund, occasion: Occasion) -> Change | None:
    """Durable before a refund that was refused for now goes out again, under the same number."""
    if refund.status != RefundStatus.NEEDS_ACTION or refund.stopped_at is not None:
        return None
    return _told(payment, _moved(refund, RefundStatus.PROCESSING), refund, occasion)


def stopped(payment: Payment, refund: Refund, occasion: Occasion) -> Change | None:
    """A person proposes how the refund ends. From now on it is not sent; what is under way is still
    answered.
    """
    if refund.status not in REFUND_OPEN or refund.stopped_at is not None:
        return None
    return _told(payment, replace(refund, stopped_at=occasion.now), refund, occasion)


def let_go_on(payment: Payment, refund: Refund, occasion: Occasion) -> Change | None:
    """The proposal was taken back."""
    if refund.status not in REFUND_OPEN or refund.stopped_at is None:
        return None
    return _told(payment, replace(refund, stopped_at=None), refund, occasion)


def _succeeded(
    payment: Payment, seen: Refund, outcome: o.RefundSucceeded, occasion: Occasion
) -> Change:
    refunded_at = outcome.refunded_at or occasion.now
    channel_date = occasion.days.of_refund(
        seen, accepted_at=outcome.accepted_at or refunded_at, finished_at=refunded_at
    )
    done = replace(
        _moved(seen, RefundStatus.SUCCEEDED),
        refunded_at=refunded_at,
        channel_date=channel_date,
        due_at=None,
    )
    attempt = _attempt_of(payment, seen)
    given = replace(
        attempt,
        reserved_amount=attempt.reserved_amount - seen.amount,
        returned_amount=attempt.returned_amount + seen.amount,
    )
    if (
        given.status == AttemptStatus.CAPTURED_LATE
        and given.returned_amount == given.captured_amount
    ):
        given = replace(given, status=AttemptStatus.RETURNED)
    return _told(payment, done, seen, occasion, attempt=given)


def _declined(
    payment: Payment, seen: Refund, outcome: o.RefundDeclined, occasion: Occasion
) -> Change:
    """Failed, and the reserved amount is free again; or it waits for a person: what a person can
    mend, what we owe, and a repeat, which may be refused for the money that the first send moved.
    Definite is the answer to a query, and the very first word.
    """
    is_definite = occasion.source != Source.REFUND or seen.heard == 1
    told = replace(seen, failure_code=outcome.code, channel_code=outcome.channel_code, due_at=None)
    if outcome.needs_action or seen.origin != Origin.MERCHANT or not is_definite:
        case = None
        if seen.status != RefundStatus.NEEDS_ACTION:
            case = _case(CaseKind.REFUND_NEEDS_ACTION, seen, occasion)
        waits = _moved(told, RefundStatus.NEEDS_ACTION)
        return _told(payment, waits, seen, occasion, case=case)
    attempt = _attempt_of(payment, seen)
    freed = replace(attempt, reserved_amount=attempt.reserved_amount - seen.amount)
    return _told(payment, _moved(told, RefundStatus.FAILED), seen, occasion, attempt=freed)


def _given_after_all(
    payment: Payment, refund: Refund, outcome: o.RefundSucceeded, occasion: Occasion
) -> Change:
    """The channel gave back what we, or a person, had taken for not given. The books keep their
    word, which others have acted on; a person looks at both.
    """
    seen = replace(_heard(refund, outcome, occasion), channel_refund_no=outcome.channel_refund_no)
    case = _case(CaseKind.REFUND_AFTER_ALL, seen, occasion)
    return _told(payment, seen, refund, occasion, case=case)


def _accepted(
    payment: Payment,
    seen: Refund,
    refund: Refund,
    outcome: o.RefundPending,
    occasion: Occasion,
) -> Change:
    """A channel that accepts it again and again, and does not know it in between, never says an
    end: after some sends a person should know.
    """
    case = None
    if occasion.source == Source.REFUND and refunded_in_vain(seen.tries):
        case = _case(CaseKind.REFUND_LONG_IN_DOUBT, seen, occasion)
    channel_date = occasion.days.of_refund(
        seen, accepted_at=outcome.accepted_at or occasion.now, finished_at=None
    )
    accepted = replace(_moved(seen, RefundStatus.PROCESSING), channel_date=channel_date)
    return _told(payment, accepted, refund, occasion, case=case)


def _silence(payment: Payment, seen: Refund, refund: Refund, occasion: Occasion) -> Change:
    """Nothing was learned: no answer, nothing sent, or a channel that does not know the number. The
    three take turns, so they are one row of silences.
    """
    silent = replace(seen, silences=refund.silences + 1)
    case = None
    if silent_too_long(silent.silences):
        case = _case(CaseKind.REFUND_LONG_IN_DOUBT, silent, occasion)
    return _told(payment, silent, refund, occasion, case=case)


def _in_doubt(refund: Refund) -> RefundStatus:
    """What waits for a person goes on waiting when the channel says nothing."""
    if refund.status == RefundStatus.NEEDS_ACTION:
        return RefundStatus.NEEDS_ACTION
    return RefundStatus.IN_DOUBT


def _case(kind: CaseKind, seen: Refund, occasion: Occasion, *, field: str = "") -> Case:
    return Case(
        id=occasion.new_id("case"),
        kind=kind,
        field=field,
        attempt_id=seen.attempt_id,
        refund_id=seen.id,
        evidence=seen.evidence[-1],
    )


def _attempt_of(payment: Payment, refund: Refund) -> Attempt:
    return next(known for known in payment.attempts if known.id == refund.attempt_id)


def _moved(refund: Refund, to: RefundStatus) -> Refund:
    return replace(refund, status=check_move("refund", REFUND, refund.status, to))


def _heard(refund: Refund, outcome: o.RefundQueryOutcome, occasion: Occasion) -> Refund:
    items = (*refund.evidence, evidence_about(outcome, occasion))
    return replace(
        refund,
        evidence=items[-EVIDENCE_ITEMS_MAX:],
        channel_refund_no=getattr(outcome, "channel_refund_no", None) or refund.channel_refund_no,
        tries=refund.tries + (occasion.source == Source.REFUND),
        heard=refund.heard + 1,
        silences=0,
    )


def _asked(payment: Payment, attempt: Attempt, new: Refund, occasion: Occasion) -> Change:
    change = changed(payment, attempt, occasion)
    event = refund_event(new, was=None, at=occasion.now)
    return replace(change, new_refund=new, events=(*change.events, event))


def _told(
    payment: Payment,
    refund: Refund,
    before: Refund,
    occasion: Occasion,
    *,
    attempt: Attempt | None = None,
    case: Case | None = None,
) -> Change:
    """The change of a refund that was as `before`; `attempt` where its money moved."""
    now = replace(refund, version=before.version + 1)
    fields: dict[str, Any] = {"late_refund": now.status} if now.origin == Origin.LATE else {}
    change = changed(payment, attempt, occasion, case=case, **fields)
    event = refund_event(now, was=before.status, at=occasion.now)
    return replace(change, refund=now, events=(*change.events, event))

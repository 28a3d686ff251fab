"""When an undecided attempt or refund is visited next, when a cancel is lawful, and until when the
till waits.

Pure; the numbers are the channel's manifest's.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zlib import crc32

from adapters.channel import Profile, Schedule
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.presenting import Flow
from gateway.domain.states import REFUND_OPEN
from gateway.domain.statuses import AttemptStatus, PaymentStatus, RefundStatus
from gateway.domain.words import LastCancel
from gateway.flow.accounts import RemoteAccount
from gateway.limits import (
    CANCELS_QUICK_MAX,
    DECISION_MS,
    REFUND_AGAIN_MS,
    REFUND_STEPS_MS,
    RETRY_JITTER_PERCENT,
    RETRY_STEPS_MS,
    SILENCES_BEFORE_CASE,
    SILENCES_QUICK_MAX,
)

_ENDS_NOTHING = frozenset({LastCancel.CALL_AGAIN, LastCancel.UNKNOWN, LastCancel.NOT_SENT})


def due_after(
    payment: Payment, attempt: Attempt, schedule: Schedule, now: datetime
) -> datetime | None:
    """The next visit of the attempt; None when there is nothing left to ask.

    A `sent` attempt is its worker's until `send_by`.
    """
    if not attempt.live:
        return None
    if attempt.status == AttemptStatus.SENT:
        return attempt.send_by
    if payment.frozen_at is not None:
        return now + _step(RETRY_STEPS_MS, attempt.queries)
    if attempt.silences > SILENCES_QUICK_MAX:  # phase 2: query and cancel themselves fail
        return now + _spread(
            _step(RETRY_STEPS_MS, attempt.silences - SILENCES_QUICK_MAX - 1), attempt
        )
    pause = _ms(schedule.query_every_ms)
    if attempt.status == AttemptStatus.CANCELLING:
        if attempt.cancels > CANCELS_QUICK_MAX and attempt.last_cancel in _ENDS_NOTHING:
            # Answered, and yet no end: a person was told.
            return now + _step(RETRY_STEPS_MS, attempt.cancels - CANCELS_QUICK_MAX - 1)
        proof = proof_at(attempt, schedule)
        if attempt.last_cancel != LastCancel.NOTHING_THERE:
            return now + pause
        again = now + _grown(schedule, attempt.cancels)
        return proof if now < proof < again else again
    query = (
        attempt.sent_at + _ms(schedule.first_query_ms)
        if attempt.queries == 0
        else now + _grown(schedule, attempt.queries)
    )
    return max(now, min(query, max(cancel_at(payment, attempt, schedule), now)))


def cancel_at(payment: Payment, attempt: Attempt, schedule: Schedule) -> datetime:
    """The moment this payment is cancelled unless it is decided before."""
    lawful = attempt.sent_at + _ms(schedule.cancel_not_before_ms)
    if payment.cancel_requested_at is not None:
        return lawful
    is_shown = payment.flow.facts.is_shown and payment.qr_code is not None
    if is_shown and payment.expires_at is not None:
        return max(lawful, payment.expires_at)
    waits_for_payer = (
        payment.status == PaymentStatus.AWAITING_PAYER or attempt.status == AttemptStatus.PENDING
    )
    after = schedule.typing_cancel_ms if waits_for_payer else schedule.unknown_cancel_ms
    if not waits_for_payer and attempt.not_founds >= 2 and schedule.absent_cancel_ms is not None:  # noqa: PLR2004 - "twice" is the rule
        after = schedule.absent_cancel_ms
    if after is None:
        return max(lawful, payment.expires_at or attempt.not_after)
    return max(lawful, attempt.sent_at + _ms(after))


def not_after(
    account: RemoteAccount, flow: Flow, sent_at: datetime, expires_at: datetime | None
) -> datetime:
    """The last moment at which a request sent now can still act at the channel."""
    acts = account.schedule(flow).acts_until_ms
    return sent_at + timedelta(milliseconds=acts) if acts is not None else expires_at or sent_at


def proof_at(attempt: Attempt, schedule: Schedule) -> datetime:
    """P4's clock: a "not found" after this proves that nothing can charge any more."""
    return attempt.not_after + _ms(schedule.proof_margin_ms)


def late_due_after(attempt: Attempt, now: datetime) -> datetime:
    """When the channel is asked again what became of the money of an attempt
    that had ended uncharged.
    """
    return now + _step(RETRY_STEPS_MS, attempt.silences if attempt.due_at is not None else 0)


def refund_due_after(refund: Refund, profile: Profile, now: datetime) -> datetime | None:
    """The next visit of a refund; None when it is decided.

    One that waits for a person is tried again now and then.
    """
    if refund.status not in REFUND_OPEN:
        return None
    if refund.status == RefundStatus.NEEDS_ACTION:
        return now + _ms(REFUND_AGAIN_MS)
    return now + _refund_step(refund.heard, profile)


def decides_by(payment: Payment, attempt: Attempt, schedule: Schedule) -> datetime | None:
    """The moment by which an undecided attempt is decided, if the channel answers; if it has
    stopped answering, by which a person is called.

    None: a person was called already, and no time can be promised.
    """
    if (
        not attempt.live
        or payment.frozen_at is not None
        or attempt.silences >= SILENCES_BEFORE_CASE
        or (attempt.last_cancel in _ENDS_NOTHING and attempt.cancels >= CANCELS_QUICK_MAX)
    ):
        return None
    ends = _answered_by(payment, attempt, schedule)
    if attempt.silences > 1:  # the first one may be the answer to the pay call, which was lost
        ends = max(ends, _person_called_at(attempt, schedule))
    return ends + _ms(DECISION_MS)


def refund_decides_by(refund: Refund, profile: Profile) -> datetime | None:
    """As `decides_by`. None also for a refund that the channel has accepted and carries out in its
    own time.
    """
    if (
        refund.status not in (RefundStatus.REQUESTED, RefundStatus.IN_DOUBT)
        or refund.silences >= SILENCES_BEFORE_CASE
    ):
        return None
    at = refund.due_at or refund.created_at
    if refund.silences > 1:
        for visit in range(1, SILENCES_BEFORE_CASE - refund.silences):
            at += _refund_step(refund.heard + visit, profile)
    return at + _ms(DECISION_MS)


def _answered_by(payment: Payment, attempt: Attempt, schedule: Schedule) -> datetime:
    """When the last question is asked whose answer decides."""
    visit = attempt.due_at or attempt.send_by
    # The channel has the order, and not only as a code that no customer has scanned yet: whatever
    # it answers to a cancel decides.
    is_known = not payment.flow.facts.is_shown and (
        attempt.status == AttemptStatus.PENDING or attempt.payer_asked_at is not None
    )
    proof = proof_at(attempt, schedule)
    if attempt.status != AttemptStatus.CANCELLING:
        cancel = max(visit, cancel_at(payment, attempt, schedule))
        return cancel if is_known else max(cancel, proof)
    match attempt.last_cancel:
        case LastCancel.USE_REFUND:
            return visit
        case LastCancel.CALL_AGAIN | LastCancel.NOT_SENT:
            left = CANCELS_QUICK_MAX - attempt.cancels
            return visit + left * _ms(schedule.query_every_ms)
        case None if is_known:
            return visit
        case LastCancel.NOTHING_THERE | LastCancel.UNKNOWN | None:
            return max(visit, proof)


def _person_called_at(attempt: Attempt, schedule: Schedule) -> datetime:
    """When the silence has lasted so long that a person is called, if it goes on from here."""
    at = attempt.due_at or attempt.send_by
    for silences in range(attempt.silences + 1, SILENCES_BEFORE_CASE):
        if silences <= SILENCES_QUICK_MAX:
            at += _ms(schedule.query_every_ms_max)
        else:
            step = _step(RETRY_STEPS_MS, silences - SILENCES_QUICK_MAX - 1)
            at += step * (100 + RETRY_JITTER_PERCENT) / 100
    return at


def _grown(schedule: Schedule, count: int) -> timedelta:
    """Constant for payment codes; doubling up to the maximum for codes on display."""
    return _ms(
        min(schedule.query_every_ms * 2 ** min(max(count - 1, 0), 16), schedule.query_every_ms_max)
    )


def _refund_step(heard: int, profile: Profile) -> timedelta:
    step = _step(REFUND_STEPS_MS, max(0, heard - 1))
    return step / 10 if profile == "short" else step


def _step(steps: tuple[int, ...], place: int) -> timedelta:
    return _ms(steps[min(place, len(steps) - 1)])


def _spread(step: timedelta, attempt: Attempt) -> timedelta:
    """A little longer for each: what an outage stopped together does not come back together.

    It follows from the number.
    """
    percent = crc32(f"{attempt.out_trade_no}/{attempt.silences}".encode()) % (
        RETRY_JITTER_PERCENT + 1
    )
    return step * (100 + percent) / 100


def _ms(value: int) -> timedelta:
    return timedelta(milliseconds=value)

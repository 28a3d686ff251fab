"""May a payment go on at another channel account?

Only with evidence that the attempt before did not and will not charge.

`RULINGS` is the decision, as data: what ended the attempt, and with which proof. What stands in no
line of it ends nothing and moves nothing: a timeout, a 5xx, a bad signature, SYSTEM_ERROR, an
attempt's age, our own crash, a lost reply to a commit. A payment code is spent on first use, even
when the payment fails: once bytes reached the wallet, another account needs a new scan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import TypeAlias

from msgspec.structs import replace

from adapters.channel import Flow
from gateway.clock import Clock, Ids
from gateway.domain.ending import payer_was_asked
from gateway.domain.identifiers import out_trade_no
from gateway.domain.occasion import Outcome
from gateway.domain.outcomes import Closed, Declined, NotFound, NotSent, Proof, Retry, Reversed
from gateway.domain.payment import Attempt, Payment
from gateway.domain.states import ATTEMPT_UNCHARGED
from gateway.domain.statuses import AttemptStatus
from gateway.flow.call.channel_call import pay_operation
from gateway.flow.choose.health import ChannelHealth
from gateway.flow.choose.routing import Ask, Choice, rank
from gateway.flow.learn.schedule import not_after
from gateway.flow.ports import Directory
from gateway.limits import ATTEMPTS_MAX, EXPIRES_IN_S_MIN, SEND_DEADLINE_MS


class Move(StrEnum):
    """What the proof of an attempt's end allows."""

    NOW = "now"  # the next account takes the payment as it is
    RESCAN = "rescan"  # another account could, but the customer must show a new code
    STAY = "stay"  # no other account would fare better: the customer's or the request's own fault


class End(Enum):
    """What the channel said when the attempt ended uncharged."""

    NOT_SENT = auto()  # nothing: no byte left
    DECLINED = auto()  # no, and the customer or the request is to blame; or a query said "refused"
    DECLINED_BY_THE_ACCOUNT = auto()  # no, and our account is to blame
    CLOSED = auto()  # it is closed or revoked
    REVERSED = auto()  # our cancel ended it
    NOT_FOUND = auto()  # it never arrived


CODE, QR = Flow.CODE, Flow.QR
RULINGS: dict[tuple[End, Proof, Flow], Move] = {
    (End.NOT_SENT, Proof.NEVER_SENT, CODE): Move.NOW,  # no channel has seen the code yet
    (End.NOT_SENT, Proof.NEVER_SENT, QR): Move.NOW,
    (End.DECLINED_BY_THE_ACCOUNT, Proof.SIGNED_REFUSAL, CODE): Move.RESCAN,
    (End.DECLINED_BY_THE_ACCOUNT, Proof.SIGNED_REFUSAL, QR): Move.NOW,
    (End.DECLINED, Proof.SIGNED_REFUSAL, CODE): Move.STAY,
    (End.DECLINED, Proof.SIGNED_REFUSAL, QR): Move.STAY,
    (End.DECLINED, Proof.FINAL_STATE, CODE): Move.RESCAN,
    (End.DECLINED, Proof.FINAL_STATE, QR): Move.NOW,
    (End.CLOSED, Proof.FINAL_STATE, CODE): Move.RESCAN,
    (End.CLOSED, Proof.FINAL_STATE, QR): Move.NOW,
    (End.REVERSED, Proof.CANCEL_CONFIRMED, CODE): Move.RESCAN,
    (End.REVERSED, Proof.CANCEL_CONFIRMED, QR): Move.NOW,
    (End.NOT_FOUND, Proof.NOT_FOUND_TWICE, CODE): Move.RESCAN,
    (End.NOT_FOUND, Proof.NOT_FOUND_TWICE, QR): Move.NOW,
}

Next: TypeAlias = Attempt | Retry | None


def ruling(outcome: Outcome, proof: Proof, flow: Flow) -> Move:
    """What `RULINGS` says of an attempt that ended so."""
    end = end_of(outcome, proof)
    return RULINGS.get((end, proof, flow), Move.STAY) if end is not None else Move.STAY


def end_of(outcome: Outcome, proof: Proof) -> End | None:
    """None: what ends no attempt."""
    match outcome:
        case NotSent():
            return End.NOT_SENT
        case Declined(failover_useful=True) if proof is Proof.SIGNED_REFUSAL:
            return End.DECLINED_BY_THE_ACCOUNT
        case Declined():
            return End.DECLINED
        case Closed():
            return End.CLOSED
        case Reversed():
            return End.REVERSED
        case NotFound():
            return End.NOT_FOUND
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Successors:
    """Draws the next attempts of one sending.

    `deadlines`: attempt id -> monotonic moment by which its first byte must have left.

    A drawn attempt is only sent once the write that carries it has won; the clock runs from the
    drawing, before the write is queued.
    """

    failover: Failover
    deadlines: dict[str, float] = field(default_factory=dict)

    def deadline_of(self, payment: Payment) -> float | None:
        """Once for each attempt drawn here that `payment` now carries as its current one: it is
        ours to send. Else None.
        """
        return (
            self.deadlines.pop(payment.current.id, None)
            if payment.current.status == AttemptStatus.SENT
            else None
        )

    def __call__(self, payment: Payment, ended: Attempt, outcome: Outcome, proof: Proof) -> Next:
        """The attempt that follows; or what the customer has to do, when an account is left that
        needs a new code; or None.
        """
        drawn = self.failover.next_of(payment, ended, outcome, proof)
        if isinstance(drawn, Attempt):
            self.deadlines[drawn.id] = self.failover.clock.monotonic() + SEND_DEADLINE_MS / 1000
        return drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """Draws attempt n+1 when attempt n has ended uncharged. Sends nothing."""

    directory: Directory
    health: ChannelHealth
    clock: Clock
    ids: Ids
    environment: str
    worker_id: str

    def successors(self) -> Successors:
        """For one sending."""
        return Successors(self)

    def next_of(self, payment: Payment, ended: Attempt, outcome: Outcome, proof: Proof) -> Next:
        """See `Successors`."""
        now = self.clock.now()
        move = ruling(outcome, proof, payment.flow)
        if (
            move is Move.STAY
            or payer_was_asked(payment, ended)
            or len(payment.attempts) >= ATTEMPTS_MAX
        ):
            return None
        if any(
            attempt.status not in ATTEMPT_UNCHARGED
            for attempt in payment.attempts
            if attempt.id != ended.id
        ):
            # Money came from an earlier attempt after its end: a channel that broke its word may
            # break it again.
            return None
        if payment.expires_at is not None and payment.expires_at < now + timedelta(
            seconds=EXPIRES_IN_S_MIN
        ):
            return None  # too little time is left to scan a new code
        if self.directory.restored_from() is not None:
            # The next number may have been used in the time that was lost; a till's next request
            # asks first.
            return None
        choice = self._backup(payment, now)
        if choice is None:
            return None
        if move is Move.RESCAN:
            return Retry.RESCAN
        reason = getattr(outcome, "channel_code", "") or getattr(outcome, "reason", "")
        why = f"{choice.why}; after attempt {ended.number}: {proof} {reason}".rstrip()
        return self._drawn(payment, ended, replace(choice, why=why), now)

    def _backup(self, payment: Payment, now: datetime) -> Choice | None:
        ask = Ask(
            merchant_id=payment.merchant_id,
            store_id=payment.store_id,
            channel=payment.channel,
            flow=payment.flow,
            amount=payment.amount,
            at=now,
            order_no=payment.order_no,
        )
        tried = {attempt.channel_account for attempt in payment.attempts}
        left = [choice for choice in rank(ask, self.directory) if choice.account.id not in tried]
        return next(iter(self.health.able(left, pay_operation(payment.flow))), None)

    def _drawn(self, payment: Payment, ended: Attempt, choice: Choice, now: datetime) -> Attempt:
        n = ended.trade_number + 1
        send_by = now + timedelta(milliseconds=SEND_DEADLINE_MS)
        return Attempt(
            id=self.ids.new("att"),
            number=ended.number + 1,
            trade_number=n,
            channel=payment.channel,
            channel_account=choice.account.id,
            out_trade_no=out_trade_no(
                self.environment, payment.merchant_id, payment.order_no, payment.tender_no, n
            ),
            status=AttemptStatus.SENT,
            why=choice.why,
            worker_id=self.worker_id,
            sent_at=now,
            send_by=send_by,
            not_after=not_after(choice.account, payment.flow, now, payment.expires_at),
            due_at=send_by,
        )

"""May a payment go on at another channel account?

Only with evidence that the attempt before did not and will not charge.

`RULINGS` is the decision, as data: what ended the attempt, and with which proof. What stands in no
line of it ends nothing and moves nothing: a timeout, a 5xx, a bad signature, SYSTEM_ERROR, an
attempt's age, our own crash, a lost reply to a commit. A payment code is spent on first use, even
when the payment fails: once bytes reached the wallet, another account needs a new scan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, StrEnum, auto
from typing import NamedTuple, TypeAlias

from msgspec.structs import replace

from adapters.channel import Flow
from gateway.domain.ending import payer_was_asked
from gateway.domain.occasion import Outcome
from gateway.domain.outcomes import Closed, Declined, NotFound, NotSent, Proof, Retry, Reversed
from gateway.domain.payment import Attempt, Payment
from gateway.domain.states import ATTEMPT_UNCHARGED
from gateway.domain.statuses import AttemptStatus
from gateway.domain.tender import tender_of
from gateway.flow.accounts import RemoteAccount
from gateway.flow.choose.health import ChannelHealth
from gateway.flow.choose.routing import Choice, remote_choices
from gateway.flow.learn.schedule import not_after
from gateway.flow.ports import Ports
from gateway.limits import ATTEMPTS_MAX, EXPIRES_IN_S_MIN, SEND_DEADLINE_MS


class Ruling(StrEnum):
    """What the proof of an attempt's end allows."""

    NOW = "now"  # the next account takes the payment as it is
    RESCAN = "rescan"  # another account could, but the customer must present a new code
    STAY = "stay"  # no other account would fare better: the customer's or the request's own fault


class End(Enum):
    """What the channel said when the attempt ended uncharged."""

    NOT_SENT = auto()  # nothing: no byte left
    DECLINED = auto()  # no, and the customer or the request is to blame; or a query said "refused"
    DECLINED_BY_THE_ACCOUNT = auto()  # no, and our account is to blame
    CLOSED = auto()  # it is closed or revoked
    REVERSED = auto()  # our cancel ended it
    NOT_FOUND = auto()  # it never arrived


# No channel has seen what the customer presented: it is as good as new.
UNSEEN = (End.NOT_SENT, Proof.NEVER_SENT)
RULINGS: dict[tuple[End, Proof], Ruling] = {
    UNSEEN: Ruling.NOW,
    (End.DECLINED_BY_THE_ACCOUNT, Proof.SIGNED_REFUSAL): Ruling.NOW,
    (End.DECLINED, Proof.SIGNED_REFUSAL): Ruling.STAY,
    (End.DECLINED, Proof.FINAL_STATE): Ruling.NOW,
    (End.CLOSED, Proof.FINAL_STATE): Ruling.NOW,
    (End.REVERSED, Proof.CANCEL_CONFIRMED): Ruling.NOW,
    (End.NOT_FOUND, Proof.NOT_FOUND_TWICE): Ruling.NOW,
}

Next: TypeAlias = Attempt | Retry | None


def ruling(outcome: Outcome, proof: Proof, flow: Flow) -> Ruling:
    """What `RULINGS` says of an attempt that ended so.

    Where the channel has seen what the customer presented, and that is spent by it, the next
    account needs it anew.
    """
    kind = end_of(outcome, proof)
    if kind is None:
        return Ruling.STAY
    end = (kind, proof)
    ruled = RULINGS.get(end, Ruling.STAY)
    if ruled is Ruling.NOW and end != UNSEEN and flow.facts.is_spent_by_use:
        return Ruling.RESCAN
    return ruled


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


class Drawn(NamedTuple):
    """An attempt that was drawn: the account that takes it, and the monotonic moment by which its
    first byte must have left.
    """

    choice: Choice[RemoteAccount]
    deadline: float


@dataclass(frozen=True, slots=True)
class Successors:
    """Draws the next attempts of one sending.

    `drawn`: by attempt id. A drawn attempt is only sent once the write that carries it has won; the
    clock runs from the drawing, before the write is queued.
    """

    failover: Failover
    drawn: dict[str, Drawn] = field(default_factory=dict)

    def won(self, payment: Payment) -> Drawn | None:
        """Once for each attempt drawn here that `payment` now carries as its current one: it is
        ours to send. Else None.
        """
        attempt = payment.current
        return self.drawn.pop(attempt.id, None) if attempt.status == AttemptStatus.SENT else None

    def __call__(self, payment: Payment, ended: Attempt, outcome: Outcome, proof: Proof) -> Next:
        """The attempt that follows; or what the customer has to do, when an account is left that
        needs a new code; or None.
        """
        clock = self.failover.ports.clock
        found = self.failover.next_of(payment, ended, outcome, proof)
        if not isinstance(found, Choice):
            return found
        attempt = self.failover.draw(payment, ended, found)
        self.drawn[attempt.id] = Drawn(found, clock.monotonic() + SEND_DEADLINE_MS / 1000)
        return attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """Chooses the account of attempt n+1 when attempt n has ended uncharged. Sends nothing."""

    ports: Ports
    health: ChannelHealth
    worker_id: str

    def successors(self) -> Successors:
        """For one sending."""
        return Successors(self)

    def next_of(
        self, payment: Payment, ended: Attempt, outcome: Outcome, proof: Proof
    ) -> Choice[RemoteAccount] | Retry | None:
        """Which account may go on; or what the customer has to do first; or None."""
        ruled = ruling(outcome, proof, payment.flow)
        if ruled is Ruling.STAY or not self._may_go_on(payment, ended):
            return None
        choice = self._backup(payment)
        if choice is None:
            return None
        if ruled is Ruling.RESCAN:
            return Retry.RESCAN
        reason = getattr(outcome, "channel_code", "") or getattr(outcome, "reason", "")
        why = f"{choice.why}; after attempt {ended.number}: {proof} {reason}".rstrip()
        return replace(choice, why=why)

    def draw(self, payment: Payment, ended: Attempt, choice: Choice[RemoteAccount]) -> Attempt:
        """The attempt that follows `ended` at the chosen account."""
        n, now = ended.trade_number + 1, self.ports.clock.now()
        send_by = now + timedelta(milliseconds=SEND_DEADLINE_MS)
        return Attempt(
            id=self.ports.ids.new("att"),
            number=ended.number + 1,
            trade_number=n,
            channel=payment.channel,
            channel_account=choice.account.id,
            out_trade_no=self.ports.numbers.trade(tender_of(payment), n),
            status=AttemptStatus.SENT,
            why=choice.why,
            worker_id=self.worker_id,
            sent_at=now,
            send_by=send_by,
            not_after=not_after(choice.account, payment.flow, now, payment.expires_at),
            due_at=send_by,
        )

    def _may_go_on(self, payment: Payment, ended: Attempt) -> bool:
        if payer_was_asked(payment, ended) or len(payment.attempts) >= ATTEMPTS_MAX:
            return False
        others = [attempt for attempt in payment.attempts if attempt.id != ended.id]
        if any(attempt.status not in ATTEMPT_UNCHARGED for attempt in others):
            # Money came from an earlier attempt after its proven end: that channel broke its word,
            # and may break the next one.
            return False
        latest = self.ports.clock.now() + timedelta(seconds=EXPIRES_IN_S_MIN)
        if payment.expires_at is not None and payment.expires_at < latest:
            return False  # too little time is left to scan a new code
        # After a restore the next number may have been used in the time that was lost; a till's
        # next request asks first.
        return self.ports.directory.restored_from() is None

    def _backup(self, payment: Payment) -> Choice[RemoteAccount] | None:
        tender, directory = tender_of(payment), self.ports.directory
        tried = {attempt.channel_account for attempt in payment.attempts}
        left = [
            choice
            for choice in remote_choices(tender, directory, self.ports.clock.now())
            if choice.account.id not in tried
        ]
        operation = tender.flow.facts.operation
        return next(iter(self.health.able(left, operation)), None)

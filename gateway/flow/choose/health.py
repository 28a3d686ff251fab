"""Which channel accounts can be trusted with the next payment: breaker, bulkhead, and what recent
calls told. No I/O.

Every call of the flow passes `watching`. What payments hear of it are `admit`, `able` and `enter`:
accounts whose breaker is open, or whose share of this worker is full, leave the list; those that
refuse or fail more than usual move back in it. Only pay calls have a breaker that keeps payments
away: money under way is asked about whatever state its channel is in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self

import structlog
from msgspec.structs import replace

from adapters.channel import Flow
from gateway.clock import Clock
from gateway.domain.outcomes import Declined, NotSent, Unknown
from gateway.flow.choose.breaker import Admission, Breaker, Move, Score, State, Trial
from gateway.flow.choose.routing import Choice
from gateway.flow.ports import Account
from gateway.limits import (
    BOARD_REASON_CHARS_MAX,
    BREAKER_FAILURES_MAX,
    BULKHEAD_PAYMENTS_MAX,
    CHANNEL_SLOW_MS,
    SCORE_MAX,
    SCORE_PLACE,
    WHY_CHARS_MAX,
)
from gateway.telemetry.metrics import ADMISSIONS, BREAKERS, HEALTH_CHANGES

log = structlog.get_logger("tillgate.health")

GATES = {Flow.CODE: "pay", Flow.QR: "precreate"}  # the operations whose breakers keep payments away
OUR_DOING = frozenset({"deadline", "transport_closed"})  # not sent because of us
WHY_HEALTH_CHARS_MAX = WHY_CHARS_MAX - 100  # what ended the attempt before may still follow
# An answer with a new word: the channel lives, and we cannot say more.
NO_SIGN = frozenset({"unlisted_code"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChange:
    """A breaker or a score moved. Written down off the road of payments."""

    merchant_id: str
    account: str
    operation: str
    what: str  # breaker, score
    was: str
    to: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One worker's word about one breaker, as the others hear it. `age_s` seconds old."""

    account: str
    operation: str
    state: State
    reason: str
    age_s: float


@dataclass(slots=True, eq=False)
class _Vital:
    """One operation of one account."""

    operation: str
    breaker: Breaker
    score: Score = field(default_factory=Score)
    is_gate: bool = False


@dataclass(slots=True, eq=False)
class _Record:
    """One account, as this worker knows it."""

    account: Account
    vitals: dict[str, _Vital] = field(default_factory=dict)
    in_flight: int = 0
    answered_at: float = float("-inf")
    failures: int = 0  # in a row, whatever the operation

    def is_calm(self, operation: str) -> bool:
        """Nothing to consider: the usual case."""
        vital = self.vitals.get(operation)
        at_rest = vital is None or (
            vital.breaker.state is State.CLOSED and vital.score.points == SCORE_MAX
        )
        return at_rest and self.in_flight < BULKHEAD_PAYMENTS_MAX


class Place:
    """One payment's place in its account's share of payments in flight, held from before write 1
    until the call has ended.
    """

    __slots__ = ("_record", "_trial", "choice")

    def __init__(
        self, choice: Choice, record: _Record, trial: tuple[Breaker, Trial] | None
    ) -> None:
        self.choice = choice
        self._record: _Record | None = record
        self._trial = trial
        record.in_flight += 1

    def leave(self) -> None:
        """Safe to repeat."""
        record, self._record = self._record, None
        if record is None:
            return
        record.in_flight -= 1
        if self._trial is not None:
            breaker, trial = self._trial
            breaker.end(trial)


class Watch:
    """One call under way, as a context.

    A call that says nothing for too long counts as failed until it does.
    """

    __slots__ = ("_began", "_counted", "_health", "_record", "_timer", "_vital")

    def __init__(self, health: ChannelHealth, record: _Record, vital: _Vital) -> None:
        self._health, self._record, self._vital = health, record, vital
        self._counted = False

    def __enter__(self) -> Self:
        self._began = self._health.clock.monotonic()
        self._timer = asyncio.get_running_loop().call_later(
            self._vital.breaker.pulse.slow_s(), self._silent
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def saw(self, outcome: object) -> None:
        """What the call told us."""
        self._timer.cancel()
        self._health.heard_of(
            self._record, self._vital, outcome, self._began, counted=self._counted
        )

    def _silent(self) -> None:
        self._counted = True
        self._health.missed(
            self._record, self._vital, "no answer yet", self._began, silent=True, counted=False
        )


def nobody_listens(change: HealthChange) -> None:
    """Where changes are not written down."""
    del change


class ChannelHealth:
    """One worker's view.

    `told` hears every change; it must not block. `worker_id` seeds the jitter, so that workers
    differ.
    """

    def __init__(
        self,
        clock: Clock,
        told: Callable[[HealthChange], None] = nobody_listens,
        worker_id: str = "",
    ) -> None:
        self.clock, self._told, self._worker_id = clock, told, worker_id
        self._records: dict[str, _Record] = {}
        # Not closed, or not at rest.
        self._moved: dict[tuple[str, str], tuple[_Record, _Vital]] = {}
        # What the others have not been told yet.
        self._news: dict[tuple[str, str], tuple[State, str, float]] = {}

    # -- payments ----------------------------------------------------------------------------------

    def admit(self, choices: Sequence[Choice], operation: str) -> Place | None:
        """A place at the best account that has one and whose breaker lets a payment through; None:
        at none of them.
        """
        if not choices:
            return None
        record = self._record(choices[0].account)
        if record.is_calm(operation):
            return Place(choices[0], record, None)
        able = self.able(choices, operation)
        if not able:
            ADMISSIONS.labels(choices[0].account.manifest.channel, "nobody").inc()
            for choice in choices:
                self._vital(self._record(choice.account), operation).breaker.hasten()
            return None
        if able[0].account.id != choices[0].account.id:
            ADMISSIONS.labels(choices[0].account.manifest.channel, "backup").inc()
        return self.enter(able[0], operation)

    def able(self, choices: Sequence[Choice], operation: str) -> Sequence[Choice]:
        """Those that `admit` would take now, best first, each with what was considered in its
        `why`; reserves nothing.
        """
        if all(self._record(choice.account).is_calm(operation) for choice in choices):
            return choices
        now = self.clock.monotonic()
        judged = sorted(
            (self._judged(choice, place, operation, now) for place, choice in enumerate(choices)),
            key=lambda one: one[:2],
        )
        notes = ", ".join(note for *_, note in judged if note)
        return [
            replace(choice, why=f"{choice.why}; health: {notes}"[:WHY_HEALTH_CHARS_MAX])
            for admission, _, choice, _ in judged
            if admission < Admission.NO
        ]

    def enter(self, choice: Choice, operation: str) -> Place:
        """A place at this account whatever its state: the attempt is durable already, or `able` has
        just named it.
        """
        record = self._record(choice.account)
        breaker = self._vital(record, operation).breaker
        trial = breaker.begin(self.clock.monotonic())
        return Place(choice, record, None if trial is None else (breaker, trial))

    def _judged(
        self, choice: Choice, place: int, operation: str, now: float
    ) -> tuple[Admission, int, Choice, str]:
        """Admission, place in the order (each lost score point moves it back a little),
        and a note for `why`.
        """
        record = self._record(choice.account)
        vital = self._vital(record, operation)
        breaker, points = vital.breaker, vital.score.points
        admission = breaker.admission(now)
        notes = (
            [] if breaker.state is State.CLOSED else [f"{breaker.state} ({breaker.reason[:60]})"]
        )
        if points < SCORE_MAX:
            notes.append(f"score {points}")
        if record.in_flight >= BULKHEAD_PAYMENTS_MAX:
            admission = Admission.NO
            notes.append(f"full with {record.in_flight}")
        note = f"{choice.account.id} {' and '.join(notes)}" if notes else ""
        return admission, place * SCORE_PLACE + SCORE_MAX - points, choice, note

    # -- calls -------------------------------------------------------------------------------------

    def watching(self, account: Account, operation: str) -> Watch:
        """Around every call."""
        record = self._record(account)
        return Watch(self, record, self._vital(record, operation))

    def heard_of(
        self, record: _Record, vital: _Vital, outcome: object, began: float, *, counted: bool
    ) -> None:
        """A watched call has ended with `outcome`."""
        match outcome:
            case NotSent(reason=reason) if reason in OUR_DOING:
                return
            case Unknown(reason=reason) if reason in NO_SIGN:
                return
            case NotSent(reason=reason) | Unknown(reason=reason):
                self.missed(record, vital, reason, began, silent=False, counted=counted)
                return
        now = self.clock.monotonic()
        record.answered_at, record.failures = now, 0
        if isinstance(outcome, Declined) and outcome.failover_useful:
            self._note(
                record,
                vital,
                vital.breaker.refused(
                    now, began, outcome.channel_code or outcome.code, counted=counted
                ),
            )
            for other in self._other_gates(record, vital):
                self._note(
                    record,
                    other,
                    other.breaker.rest(now, began, outcome.channel_code or outcome.code),
                )
            return
        self._note(record, vital, vital.breaker.answered(now, began, counted=counted))
        if (now - began) * 1000 >= CHANNEL_SLOW_MS:
            self._note_score(
                record, vital, vital.score.worsen(now, vital.breaker.pulse, "a slow answer")
            )

    def missed(
        self,
        record: _Record,
        vital: _Vital,
        reason: str,
        began: float,
        *,
        silent: bool,
        counted: bool,
    ) -> None:
        """A watched call failed, or is silent so far."""
        now, breaker = self.clock.monotonic(), vital.breaker
        alone = record.answered_at < breaker.first_at
        self._note(
            record,
            vital,
            breaker.failed(now, began, reason, silent=silent, counted=counted, alone=alone),
        )
        if not counted:
            self._note_score(record, vital, vital.score.worsen(now, breaker.pulse, reason))
        if silent:
            return  # it may still answer
        record.failures += 1
        if record.failures >= BREAKER_FAILURES_MAX:  # whatever was asked: the account is dark
            for other in self._other_gates(record, vital):
                if other.breaker.state is State.CLOSED:
                    self._note(
                        record,
                        other,
                        other.breaker.open(
                            now, f"{record.failures} calls in a row failed; the last: {reason}"
                        ),
                    )

    def _other_gates(self, record: _Record, vital: _Vital) -> Iterator[_Vital]:
        for flow in record.account.manifest.flows:
            if (operation := GATES[flow]) != vital.operation:
                yield self._vital(record, operation)

    # -- the prober's side -------------------------------------------------------------------------

    def due(self) -> Sequence[Account]:
        """Accounts with an open breaker whose time has passed."""
        now = self.clock.monotonic()
        found = {
            record.account.id: record.account
            for record, vital in self._moved.values()
            if _is_due(vital, now)
        }
        return list(found.values())

    def only_heard(self, account: Account) -> bool:
        """Whether all that is due there is another worker's word: ours to confirm or refute."""
        return all(vital.breaker.heard for vital in self._open_gates(account))

    def probed(self, account: Account, *, is_alive: bool) -> None:
        """What a probe of it came to."""
        now = self.clock.monotonic()
        for vital in self._open_gates(account):
            self._note(
                self._records[account.id], vital, vital.breaker.probed(now, is_alive=is_alive)
            )

    def postpone(self, account: Account) -> None:
        """Another worker probes it."""
        for vital in self._open_gates(account):
            vital.breaker.postpone(self.clock.monotonic())

    def drift(self) -> None:
        """Scores go back towards rest. Called now and then."""
        now = self.clock.monotonic()
        for record, vital in list(self._moved.values()):
            self._note_score(record, vital, vital.score.drift(now))

    def _open_gates(self, account: Account) -> list[_Vital]:
        return [
            vital
            for record, vital in self._moved.values()
            if record.account.id == account.id and vital.breaker.state is State.OPEN
        ]

    # -- the other workers -------------------------------------------------------------------------

    def news(self) -> Sequence[Posted]:
        """Our own moves since the last time, for the others."""
        now = self.clock.monotonic()
        news, self._news = self._news, {}
        return [
            Posted(account=account, operation=operation, state=state, reason=reason, age_s=now - at)
            for (account, operation), (state, reason, at) in news.items()
        ]

    def hear(self, account: Account, posted: Posted) -> None:
        """Another worker's word: a reason to look for ourselves."""
        if posted.operation not in {GATES[flow] for flow in account.manifest.flows}:
            return
        record = self._record(account)
        vital = self._vital(record, posted.operation)
        self._note(
            record,
            vital,
            vital.breaker.hear(self.clock.monotonic(), posted.state, posted.age_s, posted.reason),
        )

    # -- bookkeeping -------------------------------------------------------------------------------

    def _record(self, account: Account) -> _Record:
        record = self._records.get(account.id)
        if record is None:
            record = self._records[account.id] = _Record(account)
        record.account = account
        return record

    def _vital(self, record: _Record, operation: str) -> _Vital:
        vital = record.vitals.get(operation)
        if vital is None:
            breaker = Breaker(f"{self._worker_id}/{record.account.id}/{operation}")
            vital = record.vitals[operation] = _Vital(
                operation, breaker, is_gate=operation in GATES.values()
            )
        return vital

    def _note(self, record: _Record, vital: _Vital, move: Move | None) -> None:
        if move is None:
            return
        channel, breaker = record.account.manifest.channel, vital.breaker
        if move.was != move.to:
            for state, change in ((move.was, -1), (move.to, 1)):
                if state != State.CLOSED:
                    BREAKERS.labels(channel, state).inc(change)
            HEALTH_CHANGES.labels(channel, "breaker", move.to).inc()
        if vital.is_gate and not breaker.heard:
            self._news[record.account.id, vital.operation] = (
                breaker.state,
                breaker.reason[:BOARD_REASON_CHARS_MAX],
                breaker.since,
            )
        self._tell(record, vital, "breaker", move)
        log.warning(
            "breaker_moved",
            account=record.account.id,
            operation=vital.operation,
            was=move.was,
            to=move.to,
            reason=move.reason,
        )

    def _note_score(self, record: _Record, vital: _Vital, move: Move | None) -> None:
        if move is None:
            return
        worse = int(move.to) < int(move.was)
        HEALTH_CHANGES.labels(
            record.account.manifest.channel, "score", "down" if worse else "up"
        ).inc()
        self._tell(record, vital, "score", move)
        log.debug(
            "score_moved",
            account=record.account.id,
            operation=vital.operation,
            was=move.was,
            to=move.to,
            reason=move.reason,
        )

    def _tell(self, record: _Record, vital: _Vital, what: str, move: Move) -> None:
        key = (record.account.id, vital.operation)
        if vital.breaker.state is State.CLOSED and vital.score.points == SCORE_MAX:
            self._moved.pop(key, None)
        else:
            self._moved[key] = (record, vital)
        self._told(
            HealthChange(
                merchant_id=record.account.merchant_id,
                account=record.account.id,
                operation=vital.operation,
                what=what,
                was=move.was,
                to=move.to,
                reason=move.reason[:BOARD_REASON_CHARS_MAX],
                at=self.clock.now(),
            )
        )


def _is_due(vital: _Vital, now: float) -> bool:
    return vital.is_gate and vital.breaker.state is State.OPEN and now >= vital.breaker.until

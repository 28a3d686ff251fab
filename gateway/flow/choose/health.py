"""Which channel accounts can be trusted with the next payment: breaker, bulkhead, and what recent
calls told. No I/O.

Every call of the flow passes `watching`. What payments hear of it are `admit`, `able` and `enter`:
accounts whose breaker is open, or whose share of this worker is full, leave the list; those that
refuse or fail more than usual move back in it. Only pay calls have a breaker that keeps payments
away: money under way is asked about in every state of its channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from msgspec.structs import replace

from adapters.channel import UNLISTED_CODE
from gateway.clock import Clock
from gateway.domain.outcomes import Declined, NotSent, Unknown
from gateway.flow.accounts import RemoteAccount
from gateway.flow.choose.breaker import Admission, Breaker, OnTrial, State
from gateway.flow.choose.loop_time import LoopTime
from gateway.flow.choose.routing import Choice
from gateway.flow.choose.standing import HealthChange, Posted, Record, Records, Standing
from gateway.limits import (
    BREAKER_FAILURES_MAX,
    CHANNEL_SLOW_MS,
    LOOP_TICK_MS,
    SCORE_MAX,
    SCORE_PLACE,
    WHY_CHARS_MAX,
)
from gateway.telemetry.metrics import ADMISSIONS

OUR_DOING = frozenset({"deadline", "transport_closed"})  # not sent because of us
# No sign where our own loop stood still: the answer may have been there in time.
TIMED = frozenset({"timeout", "connect_timeout"})
WHY_HEALTH_CHARS_MAX = WHY_CHARS_MAX - 100  # what ended the attempt before may still follow
# An answer with a new word: the channel lives, and we cannot say more.
NO_SIGN = frozenset({UNLISTED_CODE})

RemoteChoice: TypeAlias = Choice[RemoteAccount]


class Place:
    """One payment's place in its account's share of payments in flight, held from before write 1
    until the call has ended.
    """

    __slots__ = ("_record", "_trial", "choice")

    def __init__(
        self, choice: RemoteChoice, record: Record, trial: tuple[Breaker, OnTrial] | None
    ) -> None:
        self.choice = choice
        self._record: Record | None = record
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

    A call that says nothing for too long counts as failed until it does. Time in which our own loop
    stood still is no silence: the call is then given that much more.
    """

    __slots__ = ("_began", "_counted", "_health", "_record", "_standing", "_stood_s", "_timer")

    def __init__(self, health: ChannelHealth, record: Record, standing: Standing) -> None:
        self._health, self._record, self._standing = health, record, standing
        self._counted = False

    def __enter__(self) -> Self:
        self._began = self._health.clock.monotonic()
        self._health.loop_time.enter()
        self._stood_s = self._health.loop_time.stood_s()
        self._timer = self._look_in(self._standing.breaker.pulse.slow_s())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._health.loop_time.leave()

    def saw(self, outcome: object) -> None:
        """What the call told us."""
        self._timer.cancel()
        self._health.heard_of(
            self._record,
            self._standing,
            outcome,
            self._began,
            stood_s=self._stood(),
            counted=self._counted,
        )

    def _look_in(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._silent)

    def _stood(self) -> float:
        """How long of the call our loop stood still."""
        return self._health.loop_time.stood_s() - self._stood_s

    def _silent(self) -> None:
        listened_s = self._health.clock.monotonic() - self._began - self._stood()
        left_s = self._standing.breaker.pulse.slow_s() - listened_s
        if left_s > LOOP_TICK_MS / 1000:
            self._timer = self._look_in(left_s)
            return
        self._counted = True
        self._health.missed(
            self._record, self._standing, "no answer yet", self._began, silent=True, counted=False
        )


def unwritten(change: HealthChange) -> None:
    """Where changes are not written down."""
    del change


class ChannelHealth:
    """One worker's view. `told` and `worker_id` as for `Records`."""

    def __init__(
        self,
        clock: Clock,
        told: Callable[[HealthChange], None] = unwritten,
        worker_id: str = "",
    ) -> None:
        self.clock, self.loop_time = clock, LoopTime()
        self._records = Records(clock, told, worker_id)

    # -- payments ----------------------------------------------------------------------------------

    def admit(self, choices: Sequence[RemoteChoice], operation: str) -> Place | None:
        """A place at the best account that has one and whose breaker lets a payment through; None:
        at none of them.
        """
        if not choices:
            return None
        record = self._records.of(choices[0].account)
        if record.is_calm(operation):
            return Place(choices[0], record, None)
        able = self.able(choices, operation)
        if not able:
            ADMISSIONS.labels(record.channel, "nobody").inc()
            for choice in choices:
                self._standing(choice.account, operation).breaker.hasten()
            return None
        if able[0].account.id != choices[0].account.id:
            ADMISSIONS.labels(record.channel, "backup").inc()
        return self.enter(able[0], operation)

    def able(self, choices: Sequence[RemoteChoice], operation: str) -> Sequence[RemoteChoice]:
        """Those that `admit` would take now, best first, each with what was considered in its
        `why`; reserves nothing.
        """
        if all(self._records.of(choice.account).is_calm(operation) for choice in choices):
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

    def enter(self, choice: RemoteChoice, operation: str) -> Place:
        """A place at this account, in every state of it: the attempt is durable already, or `able`
        has just named the account.
        """
        breaker = self._standing(choice.account, operation).breaker
        trial = breaker.begin(self.clock.monotonic())
        record = self._records.of(choice.account)
        return Place(choice, record, None if trial is None else (breaker, trial))

    def _judged(
        self, choice: RemoteChoice, place: int, operation: str, now: float
    ) -> tuple[Admission, int, RemoteChoice, str]:
        """Admission, place in the order (each lost score point moves it back a little),
        and a note for `why`.
        """
        record = self._records.of(choice.account)
        standing = self._records.standing(record, operation)
        breaker, points = standing.breaker, standing.score.points
        admission = breaker.admission(now)
        notes = (
            [] if breaker.state is State.CLOSED else [f"{breaker.state} ({breaker.reason[:60]})"]
        )
        if points < SCORE_MAX:
            notes.append(f"score {points}")
        if record.is_full:
            admission = Admission.NO
            notes.append(f"full with {record.in_flight}")
        note = f"{choice.account.id} {' and '.join(notes)}" if notes else ""
        return admission, place * SCORE_PLACE + SCORE_MAX - points, choice, note

    # -- calls -------------------------------------------------------------------------------------

    def watching(self, account: RemoteAccount, operation: str) -> Watch:
        """Around every call."""
        return Watch(self, self._records.of(account), self._standing(account, operation))

    def heard_of(
        self,
        record: Record,
        standing: Standing,
        outcome: object,
        began: float,
        *,
        stood_s: float,
        counted: bool,
    ) -> None:
        """A watched call has ended with `outcome`. `stood_s`: so long of it our loop stood still.

        Of a call in which it stood still for long, a timeout may be ours: it is no sign.
        """
        was_deaf = not counted and stood_s * 1000 >= CHANNEL_SLOW_MS
        match outcome:
            case NotSent(reason=reason) | Unknown(reason=reason) if reason in TIMED and was_deaf:
                return
            case NotSent(reason=reason) if reason in OUR_DOING:
                return
            case Unknown(reason=reason) if reason in NO_SIGN:
                return
            case NotSent(reason=reason) | Unknown(reason=reason):
                self.missed(record, standing, reason, began, silent=False, counted=counted)
                return
        now, breaker = self.clock.monotonic(), standing.breaker
        record.answered_at, record.failures = now, 0
        if isinstance(outcome, Declined) and outcome.failover_useful:
            reason = outcome.channel_code or outcome.code
            self._records.note(
                record, standing, breaker.refused(now, began, reason, counted=counted)
            )
            for other in self._records.other_gates(record, standing):
                self._records.note(record, other, other.breaker.rest(now, began, reason))
            return
        self._records.note(record, standing, breaker.answered(now, began, counted=counted))
        if (now - began - stood_s) * 1000 >= CHANNEL_SLOW_MS:
            moved = standing.score.worsen(now, breaker.pulse, "a slow answer")
            self._records.note_score(record, standing, moved)

    def missed(
        self,
        record: Record,
        standing: Standing,
        reason: str,
        began: float,
        *,
        silent: bool,
        counted: bool,
    ) -> None:
        """A watched call failed, or is silent so far."""
        now, breaker = self.clock.monotonic(), standing.breaker
        alone = record.answered_at < breaker.first_at
        self._records.note(
            record,
            standing,
            breaker.failed(now, began, reason, silent=silent, counted=counted, alone=alone),
        )
        if not counted:
            moved = standing.score.worsen(now, breaker.pulse, reason)
            self._records.note_score(record, standing, moved)
        if silent:
            return  # it may still answer
        record.failures += 1
        if record.failures < BREAKER_FAILURES_MAX:
            return
        # The account is dark, for every operation.
        why = f"{record.failures} calls in a row failed; the last: {reason}"
        for other in self._records.other_gates(record, standing):
            if other.breaker.state is State.CLOSED:
                self._records.note(record, other, other.breaker.open(now, why))

    # -- the prober's side -------------------------------------------------------------------------

    def due(self) -> Sequence[RemoteAccount]:
        """Accounts with an open breaker whose time has passed."""
        now = self.clock.monotonic()
        found = {
            record.account.id: record.account
            for record, standing in self._records.not_at_rest()
            if standing.is_due(now)
        }
        return list(found.values())

    def only_heard(self, account: RemoteAccount) -> bool:
        """Whether all that is due there is another worker's word: ours to confirm or refute."""
        return all(standing.breaker.heard for _, standing in self._open_gates(account))

    def probed(self, account: RemoteAccount, *, is_alive: bool) -> None:
        """What a probe of it came to."""
        now = self.clock.monotonic()
        for record, standing in self._open_gates(account):
            self._records.note(record, standing, standing.breaker.probed(now, is_alive=is_alive))

    def postpone(self, account: RemoteAccount) -> None:
        """Another worker probes it."""
        for _, standing in self._open_gates(account):
            standing.breaker.postpone(self.clock.monotonic())

    def drift(self) -> None:
        """Scores go back towards rest. Called now and then."""
        now = self.clock.monotonic()
        for record, standing in self._records.not_at_rest():
            self._records.note_score(record, standing, standing.score.drift(now))

    def _open_gates(self, account: RemoteAccount) -> list[tuple[Record, Standing]]:
        return [
            (record, standing)
            for record, standing in self._records.not_at_rest()
            if record.account.id == account.id and standing.breaker.state is State.OPEN
        ]

    # -- the other workers -------------------------------------------------------------------------

    def news(self) -> Sequence[Posted]:
        """Our own moves since the last time, for the others."""
        return self._records.news()

    def hear(self, account: RemoteAccount, posted: Posted) -> None:
        """Another worker's word: a reason to look for ourselves."""
        if posted.operation not in {flow.facts.operation for flow in account.manifest.flows}:
            return
        record = self._records.of(account)
        standing = self._records.standing(record, posted.operation)
        now = self.clock.monotonic()
        moved = standing.breaker.hear(now, posted.state, posted.age_s, posted.reason)
        self._records.note(record, standing, moved)

    def _standing(self, account: RemoteAccount, operation: str) -> Standing:
        return self._records.standing(self._records.of(account), operation)

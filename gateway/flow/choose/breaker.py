"""One breaker and one score: may the next payment go to this account, and how willingly?

Pure: every act is told the time.

    closed     payments go
    open       none goes; when its time has passed, a probe asks the channel something harmless
    half_open  the probe was answered: one payment may try; its answer closes, its failure opens
               again, for much longer, because a customer waited for it
    resting    the account refuses what another may take (a limit, maintenance): the last choice
               for a while

A call that has not answered in time is a failure on account: it counts at once, and is taken back
when the answer comes after all. What another worker says (`heard`) makes an account the last
choice, and no worse: only this worker's own evidence keeps payments away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from math import exp, inf
from zlib import crc32

from gateway.limits import (
    BREAKER_CALLS_MIN,
    BREAKER_FAILURES_MAX,
    BREAKER_FORGET_MS,
    BREAKER_JITTER_PERCENT,
    BREAKER_LONELY_CALLS_MAX,
    BREAKER_LONELY_FAILURES_MAX,
    BREAKER_LONELY_MS,
    BREAKER_LOST_TRIAL_MS_MAX,
    BREAKER_LOST_TRIAL_MS_MIN,
    BREAKER_MEMORY_MS,
    BREAKER_OPEN_MS_MAX,
    BREAKER_OPEN_MS_MIN,
    BREAKER_REST_MS_MAX,
    BREAKER_REST_MS_MIN,
    BREAKER_SUCCESS_PERCENT_MIN,
    BREAKER_TRIAL_MS,
    CHANNEL_SLOW_MS,
    CHANNEL_SLOW_MS_MAX,
    HEARD_GAP_MS,
    PROBE_AGAIN_MS,
    PROBE_EVERY_MS,
    PROBE_GRACE_MS,
    SCORE_DRIFT_MS,
    SCORE_MAX,
    SCORE_STEP,
    SCORE_STEP_MS,
    SCORE_SUCCESS_PERCENT,
)


class State(StrEnum):
    """See the module."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    RESTING = "resting"


class Admission(IntEnum):
    """What a breaker says to the next payment; the greater, the later."""

    YES = 0
    LAST = 1  # when no other account is left
    NO = 2


@dataclass(frozen=True, slots=True)
class Moved:
    """A breaker went from `was` to `to`; or a score did."""

    was: str
    to: str
    reason: str


@dataclass(slots=True, eq=False)
class OnTrial:
    """The one payment that may try, since the monotonic moment `at`."""

    at: float


@dataclass(slots=True)
class Pulse:
    """Success rate and latency, as averages in which the past fades."""

    good: float = 0.0
    total: float = 0.0
    at: float = 0.0
    latency_s: float = 0.0

    def beat(self, now: float, *, good: bool) -> None:
        """One call more."""
        self._fade(now)
        self.total += 1
        self.good += good

    def corrected(self, took_s: float) -> None:
        """A call that was counted as failed has answered."""
        self.good = min(self.good + 1, self.total)
        self.took(took_s)

    def took(self, seconds: float) -> None:
        """The latency of an answer."""
        self.latency_s += (seconds - self.latency_s) / 8

    def calls(self, now: float) -> float:
        """About how many within memory."""
        self._fade(now)
        return self.total

    def success(self) -> float:
        """0 … 1; 1 when nothing is known."""
        return self.good / self.total if self.total > 0.5 else 1.0  # noqa: PLR2004 - half a call is no knowledge

    def slow_s(self) -> float:
        """From when on a silent call counts as failed."""
        return min(max(CHANNEL_SLOW_MS / 1000, 3 * self.latency_s), CHANNEL_SLOW_MS_MAX / 1000)

    def _fade(self, now: float) -> None:
        left = exp((self.at - now) * 1000 / BREAKER_MEMORY_MS)
        self.good, self.total, self.at = self.good * left, self.total * left, now


@dataclass(slots=True)
class Breaker:
    """`name` seeds the jitter.

    Acts return how it moved, or None. `began`: the monotonic start of the call that is told
    about.
    """

    name: str
    pulse: Pulse = field(default_factory=Pulse)
    state: State = State.CLOSED
    since: float = -inf
    until: float = 0.0  # open: probed from then on; resting: tried from then on
    reason: str = ""
    heard: bool = False
    trial: OnTrial | None = None
    in_row: int = 0
    first_at: float = 0.0  # the first failure of the row
    opens: int = 0  # in a row, each longer than the one before
    lost_trials: int = 0  # payments on trial that failed, since it was closed
    rests: int = 0
    by_silence: bool = False  # everything that opened it may still answer
    heard_at: float = -inf
    probed_at: float = -inf
    told_closed: bool = False  # one word of another worker shortens one open time

    def admission(self, now: float) -> Admission:
        """What it says to a payment now."""
        match self.state:
            case State.CLOSED:
                return Admission.YES
            case State.RESTING:
                return (
                    Admission.YES
                    if now >= self.until and self._trial_is_free(now)
                    else Admission.LAST
                )
            case State.HALF_OPEN:
                may_try = self._trial_is_free(now)
            case State.OPEN:
                may_try = now >= self.until + PROBE_GRACE_MS / 1000 and self._trial_is_free(now)
        if may_try:
            return Admission.YES
        return Admission.LAST if self.heard else Admission.NO

    def begin(self, now: float) -> OnTrial | None:
        """A payment goes: on trial, where one may try."""
        if self.state is State.CLOSED or self.admission(now) is not Admission.YES:
            return None
        self.trial = OnTrial(now)
        return self.trial

    def end(self, trial: OnTrial) -> None:
        """The payment is over, or was never sent."""
        if self.trial is trial:
            self.trial = None

    def answered(self, now: float, began: float, *, counted: bool) -> Moved | None:
        """A call was answered. `counted`: it had been counted as failed."""
        self._good(now, began, counted=counted)
        if self.state is State.CLOSED:
            return None
        if counted and self.by_silence and self.state is State.OPEN:
            return self._to(State.CLOSED, now, "the silent calls answered after all")
        return (
            self._to(State.CLOSED, now, "a payment was answered") if began >= self.since else None
        )

    def refused(self, now: float, began: float, reason: str, *, counted: bool) -> Moved | None:
        """The account refused what another may take."""
        self._good(now, began, counted=counted)
        return self.rest(now, began, reason)

    def rest(self, now: float, began: float, reason: str) -> Moved | None:
        """As above, when another operation of the account was refused."""
        if began < self.since:
            return None
        self.rests = 1 if self.state is State.CLOSED and self._is_forgotten(now) else self.rests + 1
        self.until = (
            now + self._grown_ms(self.rests, BREAKER_REST_MS_MIN, BREAKER_REST_MS_MAX) / 1000
        )
        return self._to(State.RESTING, now, f"refused: {reason}")

    def failed(
        self, now: float, began: float, reason: str, *, silent: bool, counted: bool, alone: bool
    ) -> Moved | None:
        """A call failed, or is `silent` so far.

        `alone`: nothing of the account has answered since the row of failures began.
        """
        if counted:
            self.by_silence = False  # the silence was one
            return None
        self.pulse.beat(now, good=False)
        if began < self.since:
            return None  # it says nothing of what is since then
        self.by_silence = silent and (self.by_silence or self.in_row == 0)
        self.in_row += 1
        if self.in_row == 1:
            self.first_at = began
        match self.state:
            case State.OPEN:
                self.heard = False
                return None
            case State.HALF_OPEN:
                self.lost_trials += 1
                move = self.open(now, f"the payment on trial failed: {reason}")
                self.until = (
                    now
                    + self._grown_ms(
                        self.lost_trials, BREAKER_LOST_TRIAL_MS_MIN, BREAKER_LOST_TRIAL_MS_MAX
                    )
                    / 1000
                )
                return move
            case _:
                why = self._too_much(now, alone=alone)
                return self.open(now, f"{why}; the last: {reason}") if why else None

    def open(self, now: float, reason: str) -> Moved:
        """Opens it, for longer than the last time unless that is long ago."""
        if self.state in (State.CLOSED, State.RESTING) and self._is_forgotten(now):
            self.opens = 0
        self.opens += 1
        self.until = (
            now + self._grown_ms(self.opens, BREAKER_OPEN_MS_MIN, BREAKER_OPEN_MS_MAX) / 1000
        )
        self.probed_at = now
        return self._to(State.OPEN, now, reason)

    def probed(self, now: float, *, is_alive: bool) -> Moved | None:
        """The answer to a probe."""
        if self.state is not State.OPEN:
            return None
        self.probed_at = now
        if is_alive:
            return self._to(State.HALF_OPEN, now, "a probe was answered", heard=self.heard)
        self.heard = False
        self.opens += 1
        self.until = (
            now + self._grown_ms(self.opens, BREAKER_OPEN_MS_MIN, BREAKER_OPEN_MS_MAX) / 1000
        )
        return None

    def postpone(self, now: float) -> None:
        """Another worker is probing."""
        self.until = max(self.until, now + PROBE_AGAIN_MS / 1000)

    def hasten(self) -> None:
        """No account is left for payments: the next probe comes soon."""
        if self.state is State.OPEN:
            self.until = min(self.until, self.probed_at + PROBE_EVERY_MS / 1000)

    def hear(self, now: float, state: State, age_s: float, reason: str) -> Moved | None:
        """Another worker's word, `age_s` old."""
        if (
            self.state is State.OPEN
            and state is State.CLOSED
            and not self.told_closed
            and now - age_s > self.since
        ):
            self.told_closed = True
            return self._to(
                State.HALF_OPEN, now, "another worker's payment was answered", heard=self.heard
            )
        if (
            self.state is not State.CLOSED
            or now - self.heard_at < HEARD_GAP_MS / 1000
            or now - age_s < self.since
        ):
            return None
        if state is State.OPEN:
            self.until = now
        elif state is State.RESTING:
            self.until = now + BREAKER_REST_MS_MIN / 1000
        else:
            return None
        self.heard_at = now
        return self._to(state, now, f"another worker: {reason}", heard=True)

    def _too_much(self, now: float, *, alone: bool) -> str:
        """Why the failures so far are enough; empty when they are not."""
        if self.in_row >= BREAKER_FAILURES_MAX:
            return f"{self.in_row} failures in a row"
        calls = self.pulse.calls(now)
        lonely = (
            alone
            and calls < BREAKER_LONELY_CALLS_MAX
            and (now - self.first_at) * 1000 <= BREAKER_LONELY_MS
        )
        if lonely and self.in_row >= BREAKER_LONELY_FAILURES_MAX:
            return f"{self.in_row} failures in a row and no answer since"
        percent = round(self.pulse.success() * 100)
        if calls >= BREAKER_CALLS_MIN and percent < BREAKER_SUCCESS_PERCENT_MIN:
            return f"only {percent} % of {round(calls)} calls succeeded"
        return ""

    def _good(self, now: float, began: float, *, counted: bool) -> None:
        if counted:
            self.pulse.corrected(now - began)
        else:
            self.pulse.beat(now, good=True)
            self.pulse.took(now - began)
        self.in_row = 0

    def _to(self, state: State, now: float, reason: str, *, heard: bool = False) -> Moved:
        move = Moved(self.state, state, reason)
        self.state, self.since, self.reason, self.heard, self.trial, self.in_row = (
            state,
            now,
            reason,
            heard,
            None,
            0,
        )
        if state is State.OPEN:
            self.told_closed = False
        if state is State.CLOSED:
            self.lost_trials = 0
        return move

    def _trial_is_free(self, now: float) -> bool:
        return self.trial is None or (now - self.trial.at) * 1000 > BREAKER_TRIAL_MS

    def _is_forgotten(self, now: float) -> bool:
        return (now - self.since) * 1000 > BREAKER_FORGET_MS

    def _grown_ms(self, times: int, least: int, most: int) -> float:
        """Doubling from `least` to `most`; the jitter follows from the name and the count."""
        grown = min(least << min(times - 1, 16), most)
        return grown * (
            1 + crc32(f"{self.name}/{times}".encode()) % 100 / 100 * BREAKER_JITTER_PERCENT / 100
        )


@dataclass(slots=True)
class Score:
    """0 … 100. Moves by one step at a time, and drifts back to rest."""

    points: int = SCORE_MAX
    moved_at: float = -inf

    def worsen(self, now: float, pulse: Pulse, reason: str) -> Moved | None:
        """A failure or a slow answer: a step down,
        when it is no exception and the last step is a while ago.
        """
        percent = round(pulse.success() * 100)
        if percent >= SCORE_SUCCESS_PERCENT and pulse.latency_s * 1000 < CHANNEL_SLOW_MS:
            return None
        if self.points == 0 or (now - self.moved_at) * 1000 < SCORE_STEP_MS:
            return None
        return self._step(
            now,
            -SCORE_STEP,
            f"{percent} % success, {round(pulse.latency_s * 1000)} ms; the last: {reason}",
        )

    def drift(self, now: float) -> Moved | None:
        """A step back, when its time has come."""
        if self.points == SCORE_MAX or (now - self.moved_at) * 1000 < SCORE_DRIFT_MS:
            return None
        return self._step(now, SCORE_STEP, "drifts back")

    def _step(self, now: float, points: int, reason: str) -> Moved:
        was = self.points
        self.points, self.moved_at = min(max(was + points, 0), SCORE_MAX), now
        return Moved(str(was), str(self.points), reason)

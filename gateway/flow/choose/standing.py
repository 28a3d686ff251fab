"""How every operation of every account stands with this worker: its breaker, its score, and what
the others hear of it. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from gateway.clock import Clock
from gateway.domain.presenting import PAY_OPERATIONS
from gateway.flow.accounts import RemoteAccount
from gateway.flow.choose.breaker import Breaker, Moved, Score, State
from gateway.limits import BOARD_REASON_CHARS_MAX, BULKHEAD_PAYMENTS_MAX, SCORE_MAX
from gateway.telemetry.metrics import BREAKERS, HEALTH_CHANGES

log = structlog.get_logger("tillgate.health")


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
class Standing:
    """One operation of one account. `is_gate`: its breaker keeps payments away."""

    operation: str
    breaker: Breaker
    score: Score = field(default_factory=Score)
    is_gate: bool = False

    @property
    def is_at_rest(self) -> bool:
        """The usual case."""
        return self.breaker.state is State.CLOSED and self.score.points == SCORE_MAX

    def is_due(self, now: float) -> bool:
        """Its breaker is open and wants a probe."""
        return self.is_gate and self.breaker.state is State.OPEN and now >= self.breaker.until


@dataclass(slots=True, eq=False)
class Record:
    """One account, as this worker knows it."""

    account: RemoteAccount
    standings: dict[str, Standing] = field(default_factory=dict)
    in_flight: int = 0
    answered_at: float = float("-inf")
    failures: int = 0  # in a row, over all operations

    @property
    def channel(self) -> str:
        """For the metrics."""
        return self.account.manifest.channel

    @property
    def is_full(self) -> bool:
        """Its share of this worker's payments is taken."""
        return self.in_flight >= BULKHEAD_PAYMENTS_MAX

    def is_calm(self, operation: str) -> bool:
        """Nothing to consider: the usual case."""
        standing = self.standings.get(operation)
        return (standing is None or standing.is_at_rest) and not self.is_full


class Records:
    """All accounts this worker has called.

    `told` hears every change; it must not block. `worker_id` seeds the jitter, so that workers
    differ.
    """

    def __init__(self, clock: Clock, told: Callable[[HealthChange], None], worker_id: str) -> None:
        self._clock, self._told, self._worker_id = clock, told, worker_id
        self._records: dict[str, Record] = {}
        # Not at rest.
        self._moved: dict[tuple[str, str], tuple[Record, Standing]] = {}
        # What the others have not been told yet.
        self._news: dict[tuple[str, str], tuple[State, str, float]] = {}

    def of(self, account: RemoteAccount) -> Record:
        """The record of an account, which may be newer than the one that is known."""
        record = self._records.get(account.id)
        if record is None:
            record = self._records[account.id] = Record(account)
        record.account = account
        return record

    def standing(self, record: Record, operation: str) -> Standing:
        """How this operation of the account stands."""
        standing = record.standings.get(operation)
        if standing is None:
            standing = record.standings[operation] = Standing(
                operation,
                Breaker(f"{self._worker_id}/{record.account.id}/{operation}"),
                is_gate=operation in PAY_OPERATIONS,
            )
        return standing

    def other_gates(self, record: Record, standing: Standing) -> Iterator[Standing]:
        """The account's other pay operations."""
        for flow in record.account.manifest.flows:
            if flow.facts.operation != standing.operation:
                yield self.standing(record, flow.facts.operation)

    def not_at_rest(self) -> list[tuple[Record, Standing]]:
        """What may have to be probed, or to drift back."""
        return list(self._moved.values())

    def news(self) -> Sequence[Posted]:
        """Our own moves since the last time, for the others."""
        now = self._clock.monotonic()
        news, self._news = self._news, {}
        return [
            Posted(account=account, operation=operation, state=state, reason=reason, age_s=now - at)
            for (account, operation), (state, reason, at) in news.items()
        ]

    def note(self, record: Record, standing: Standing, moved: Moved | None) -> None:
        """Its breaker moved, if it did."""
        if moved is None:
            return
        breaker = standing.breaker
        if moved.was != moved.to:
            for state, change in ((moved.was, -1), (moved.to, 1)):
                if state != State.CLOSED:
                    BREAKERS.labels(record.channel, state).inc(change)
            HEALTH_CHANGES.labels(record.channel, "breaker", moved.to).inc()
        if standing.is_gate and not breaker.heard:
            self._news[record.account.id, standing.operation] = (
                breaker.state,
                breaker.reason[:BOARD_REASON_CHARS_MAX],
                breaker.since,
            )
        self._tell(record, standing, "breaker", moved)
        log.warning("breaker_moved", **_told(record, standing, moved))

    def note_score(self, record: Record, standing: Standing, moved: Moved | None) -> None:
        """Its score moved, if it did."""
        if moved is None:
            return
        direction = "down" if int(moved.to) < int(moved.was) else "up"
        HEALTH_CHANGES.labels(record.channel, "score", direction).inc()
        self._tell(record, standing, "score", moved)
        log.debug("score_moved", **_told(record, standing, moved))

    def _tell(self, record: Record, standing: Standing, what: str, moved: Moved) -> None:
        key = (record.account.id, standing.operation)
        if standing.is_at_rest:
            self._moved.pop(key, None)
        else:
            self._moved[key] = (record, standing)
        self._told(
            HealthChange(
                merchant_id=record.account.merchant_id,
                account=record.account.id,
                operation=standing.operation,
                what=what,
                was=moved.was,
                to=moved.to,
                reason=moved.reason[:BOARD_REASON_CHARS_MAX],
                at=self._clock.now(),
            )
        )


def _told(record: Record, standing: Standing, moved: Moved) -> dict[str, str]:
    return {
        "account": record.account.id,
        "operation": standing.operation,
        "was": moved.was,
        "to": moved.to,
        "reason": moved.reason,
    }

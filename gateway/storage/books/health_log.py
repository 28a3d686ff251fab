"""What breakers and scores did, kept for people: written in batches off the road of payments, read
by `tillgate account health`.

A change never waits for Postgres. While it is away the newest are kept in memory, the oldest beyond
a bound are lost, and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import structlog

from gateway.domain.errors import StoreUnavailable
from gateway.flow.choose.standing import HealthChange
from gateway.limits import HEALTH_CHANGES_INTERVAL_MS, HEALTH_CHANGES_MAX, HEARTBEAT_LEASE_MS
from gateway.loops import pause
from gateway.storage.reader import Reader
from gateway.telemetry.metrics import HEALTH_LOST

log = structlog.get_logger("tillgate.health")

LISTED_MAX: Final = 100  # a screenful several times over
LOOKED_AT_MAX: Final = 2_000  # of an account's changes, for the last word of each worker

WRITE = """INSERT INTO channel_health_event
  (merchant_id, account, operation, what, was, "to", reason, worker, at)
SELECT * FROM unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
  $9::timestamptz[]
)"""
NEWEST = f"""SELECT account, operation, what, was, "to", reason, worker, at
FROM channel_health_event
WHERE account = $1 ORDER BY seq DESC LIMIT {LISTED_MAX}"""
# The last word of each worker that lives.
STATES = f"""SELECT DISTINCT ON (e.operation, e.worker)
  e.account, e.operation, e.what, e.was, e."to", e.reason, e.worker, e.at
FROM (
  SELECT * FROM channel_health_event WHERE account = $1 ORDER BY seq DESC LIMIT {LOOKED_AT_MAX}
) e
JOIN worker w ON w.id = e.worker AND w.beat_at > clock_timestamp() - $2::interval
WHERE e.what = 'breaker' ORDER BY e.operation, e.worker, e.seq DESC"""


class HealthLog(Reader):
    """`note` is what `ChannelHealth` calls; `run` is a task of the worker."""

    def __init__(self, pool: asyncpg.Pool[Any], worker_id: str) -> None:
        super().__init__(pool)
        self._worker_id = worker_id
        self._waiting: deque[HealthChange] = deque()

    def note(self, change: HealthChange) -> None:
        """Keep it for the next writing."""
        self._waiting.append(change)
        if len(self._waiting) > HEALTH_CHANGES_MAX:
            self._waiting.popleft()
            HEALTH_LOST.inc()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; what waits then is written once more."""
        while not stop.is_set():
            await pause(HEALTH_CHANGES_INTERVAL_MS, stop)
            await self.write()

    async def write(self) -> None:
        """Write what waits; what cannot be written now waits on."""
        if not self._waiting:
            return
        batch = list(self._waiting)
        rows = [
            (
                c.merchant_id,
                c.account,
                c.operation,
                c.what,
                c.was,
                c.to,
                c.reason,
                self._worker_id,
                c.at,
            )
            for c in batch
        ]
        try:
            await self._fetch(WRITE, *(list(column) for column in zip(*rows, strict=True)))
        except StoreUnavailable:
            return
        except asyncpg.PostgresError:  # a batch that Postgres refuses would be refused for ever
            log.exception("health_changes_refused")
            HEALTH_LOST.inc(len(batch))
        written = {id(change) for change in batch}  # some may have been pushed out meanwhile
        while self._waiting and id(self._waiting[0]) in written:
            self._waiting.popleft()


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRow:
    """A change as it is stored; `worker` saw it, or is the person who did it."""

    account: str
    operation: str
    what: str
    was: str
    to: str
    reason: str
    worker: str
    at: datetime


class HealthHistory(Reader):
    """Read by people."""

    async def newest(self, account_id: str) -> list[HealthRow]:
        """Newest first, at most LISTED_MAX."""
        return [HealthRow(**dict(row)) for row in await self._fetch(NEWEST, account_id)]

    async def states(self, account_id: str) -> list[HealthRow]:
        """The last move of each breaker in each worker that lives;
        a breaker that never moved is closed.
        """
        return [
            HealthRow(**dict(row))
            for row in await self._fetch(
                STATES, account_id, timedelta(milliseconds=HEARTBEAT_LEASE_MS)
            )
        ]

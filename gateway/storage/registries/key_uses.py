"""When each key was last used: kept in memory, written by the worker beside the road.

For people who rotate keys: an old key that a till still uses is not revoked yet. A minute's
precision is enough, so a key costs one small write a minute, however many requests it signs.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import structlog

from gateway.clock import Clock
from gateway.limits import KEY_USE_INTERVAL_MS, KEY_USE_MS_MIN
from gateway.loops import Rounds, pause
from gateway.storage.reader import Reader

log = structlog.get_logger("tillgate.keys")

# Several workers hear the same key: the first of a minute writes.
WRITE = """INSERT INTO api_key_use (key_id, used_at)
SELECT * FROM unnest($1::text[], $2::timestamptz[])
ON CONFLICT (key_id) DO UPDATE SET used_at = excluded.used_at
WHERE api_key_use.used_at <= excluded.used_at - $3::interval"""


class KeyUses(Reader):
    """`note` is what the edge calls; `run` is a task of the worker."""

    def __init__(self, pool: asyncpg.Pool[Any], clock: Clock) -> None:
        super().__init__(pool)
        self._clock = clock
        self._used: dict[str, datetime] = {}
        self._written: dict[str, datetime] = {}
        self._rounds = Rounds(log, "key_uses")  # the next use is as good

    def note(self, key_id: str) -> None:
        """It signed a request, just now."""
        self._used[key_id] = self._clock.now()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; what was noted by then is written once more."""
        while not stop.is_set():
            await pause(KEY_USE_INTERVAL_MS, stop)
            with self._rounds:
                await self.write()

    async def write(self) -> None:
        """The uses of keys that were not written within the last minute.

        Raises StoreUnavailable.
        """
        gap = timedelta(milliseconds=KEY_USE_MS_MIN)
        due = {
            key_id: used_at
            for key_id, used_at in self._used.items()
            if key_id not in self._written or used_at - self._written[key_id] >= gap
        }
        if not due:
            return
        # One order for all workers, so that two batches never wait for each other in a ring.
        keys = sorted(due)
        await self._fetch(WRITE, keys, [due[key_id] for key_id in keys], gap)
        self._written |= due

"""Watches what the feed of events waits for: a transaction that somebody left open anywhere in the
cluster holds up every event and webhook, and no payment says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from gateway.limits import EVENTS_WAIT_LOOK_MS
from gateway.loops import Rounds
from gateway.telemetry.metrics import EVENTS_WAIT

log = structlog.get_logger("tillgate.events")


class FeedWatch:
    """Looks every few seconds. `waits`: the age of the oldest transaction that the feed waits for;
    zero: none.
    """

    def __init__(self, waits: Callable[[], Awaitable[timedelta]]) -> None:
        self._waits = waits

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`."""
        await Rounds(log, "feed_watch").repeat(self.look, EVENTS_WAIT_LOOK_MS, stop)

    async def look(self) -> None:
        """Once."""
        EVENTS_WAIT.set((await self._waits()).total_seconds())

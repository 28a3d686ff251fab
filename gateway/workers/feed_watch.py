"""Watches what the feed of events waits for: a transaction that somebody left open anywhere in the
cluster holds up every event and webhook, and no payment says so.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Protocol

import structlog

from gateway.limits import EVENTS_WAIT_LOOK_MS
from gateway.loops import Rounds
from gateway.telemetry.metrics import EVENTS_WAIT

log = structlog.get_logger("tillgate.events")


class Feed(Protocol):
    """Where events are read."""

    async def waits(self) -> timedelta:
        """The age of the oldest transaction that is waited for; zero: none."""
        ...


class FeedWatch:
    """Looks every few seconds."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`."""
        await Rounds(log, "feed_watch").repeat(self.look, EVENTS_WAIT_LOOK_MS, stop)

    async def look(self) -> None:
        """Once."""
        EVENTS_WAIT.set((await self._feed.waits()).total_seconds())

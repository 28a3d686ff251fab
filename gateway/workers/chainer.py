"""Makes the audit chain longer, once a second, and says its head once a day.

The head belongs into hands that cannot change the database: against a head that was kept,
everything before it can be proven to be as it was.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from gateway.clock import Clock
from gateway.limits import AUDIT_HEAD_TOLD_S, AUDIT_INTERVAL_MS
from gateway.loops import Rounds
from gateway.telemetry.metrics import AUDIT_LAG, AUDIT_LINKS
from security.audit_chain import Head

log = structlog.get_logger("tillgate.audit")


class Chain(Protocol):
    """What is made longer."""

    async def extend(self) -> bool:
        """By a link, if there are rows for one. True: there may be more."""
        ...

    async def lag(self) -> timedelta:
        """The age of the oldest row without a link."""
        ...

    async def head(self) -> Head | None:
        """None while it is empty."""
        ...


class Chainer:
    """Several may run: the chain takes each link once."""

    def __init__(self, chain: Chain, clock: Clock) -> None:
        self._chain, self._clock = chain, clock
        self._told_at: datetime | None = None
        self._rounds = Rounds(log, "audit_chain")

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Never raises: the process has other work."""
        await self._rounds.repeat(lambda: self.grow(stop), AUDIT_INTERVAL_MS, stop)

    async def grow(self, stop: asyncio.Event) -> None:
        """Until no row is left, or `stop`."""
        while await self._chain.extend() and not stop.is_set():
            pass
        AUDIT_LAG.set((await self._chain.lag()).total_seconds())
        await self._tell()

    async def _tell(self) -> None:
        head, now = await self._chain.head(), self._clock.now()
        if head is None:
            return
        AUDIT_LINKS.set(head.number)
        if self._told_at is None or now - self._told_at >= timedelta(seconds=AUDIT_HEAD_TOLD_S):
            self._told_at = now
            log.info("audit_head", head=f"{head.number}:{head.hash.hex()}")

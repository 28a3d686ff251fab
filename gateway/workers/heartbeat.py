"""The worker's sign of life, and what it brings back:
the time of the database, which is everybody's.

Without a beat, what the worker had sent is taken over; a worker that stood still that long finds
its send deadlines passed.
"""

from __future__ import annotations

import asyncio

import structlog

from gateway.clock import DatabaseClock
from gateway.domain.errors import GatewayError
from gateway.flow.ports import Store
from gateway.limits import CLOCK_SLEWED_MS_MAX, HEARTBEAT_INTERVAL_MS
from gateway.loops import pause
from gateway.telemetry.metrics import CLOCK_AHEAD

log = structlog.get_logger("tillgate.worker")


class Heartbeat:
    """Beats until it is stopped."""

    def __init__(self, store: Store, worker_id: str, clock: DatabaseClock) -> None:
        self._store, self._worker_id, self._clock = store, worker_id, clock
        self._is_off = False

    async def run(self, stop: asyncio.Event) -> None:
        """Several times in a lease."""
        while not stop.is_set():
            await self.beat()
            await pause(HEARTBEAT_INTERVAL_MS, stop)

    async def beat(self) -> None:
        """Once. Never raises: a worker that lives must not be taken for dead for ever."""
        asked_at = self._clock.monotonic()
        try:
            self._clock.learn(await self._store.beat(self._worker_id), asked_at)
        except GatewayError:
            log.debug("beat_missed")  # the store is away, and with it whoever would read this
        except Exception:
            log.exception("beat_broken")
        self._compare()

    def _compare(self) -> None:
        """A host whose clock is wrong is harmless here; its logs, its certificates and its other
        programs may not be.
        """
        ahead = self._clock.host_ahead_s()
        CLOCK_AHEAD.set(ahead)
        is_off = abs(ahead) * 1000 > CLOCK_SLEWED_MS_MAX
        if is_off and not self._is_off:
            log.warning("host_clock_wrong", ahead_s=round(ahead, 3))
        self._is_off = is_off

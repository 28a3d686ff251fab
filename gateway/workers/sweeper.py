"""The in-doubt sweeper's loop: lease what is due, visit it, a few times a second. What a visit does is `flow.in_doubt`'s."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable

import structlog

from gateway.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.flow.in_doubt import InDoubt
from gateway.flow.ports import Store
from gateway.limits import HEARTBEAT_INTERVAL_MS, HEARTBEAT_LEASE_MS, SWEEP_BATCH, SWEEP_INTERVAL_MS, SWEEP_LEASE_MS

log = structlog.get_logger("tillgate.sweeper")


class Sweeper:
    """Visits run side by side; the loop takes no more while a full batch is under way."""

    def __init__(self, store: Store, in_doubt: InDoubt, clock: Clock) -> None:
        self._store, self._in_doubt, self._clock = store, in_doubt, clock
        self._visits: set[asyncio.Task[None]] = set()
        self._is_postponed = False

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; visits under way are finished first."""
        while not stop.is_set():
            room = SWEEP_BATCH - len(self._visits)
            if room > 0:
                await self._try_take(room)
            await paused(stop, SWEEP_INTERVAL_MS)
        await asyncio.gather(*self._visits, return_exceptions=True)

    async def _try_take(self, room: int) -> None:
        """Says when the store went away and when it came back, not several times a second in between."""
        try:
            await self._take(room)
        except GatewayError as error:
            if not self._is_postponed:
                log.warning("sweep_postponed", error=error.code)
            self._is_postponed = True
        except Exception:  # nobody else visits what is in doubt: the loop outlives whatever the store says
            log.exception("sweep_broken")
        else:
            if self._is_postponed:
                log.warning("sweep_resumed")
            self._is_postponed = False

    async def _take(self, room: int) -> None:
        now = self._clock.now()
        for attempt in await self._store.take_due_attempts(now, room, SWEEP_LEASE_MS, HEARTBEAT_LEASE_MS):
            self._start(self._in_doubt.visit(attempt), attempt.payment_id)
        for refund in await self._store.take_due_refunds(now, room, SWEEP_LEASE_MS):
            self._start(self._in_doubt.visit_refund(refund), refund.refund_id)

    def _start(self, visit: Awaitable[None], subject: str) -> None:
        task = asyncio.create_task(self._finished(visit, subject), name=f"visit {subject}")
        self._visits.add(task)
        task.add_done_callback(self._visits.discard)

    async def _finished(self, visit: Awaitable[None], subject: str) -> None:
        """A visit that fails is tried again when its lease ends."""
        try:
            await visit
        except GatewayError as error:
            log.warning("visit_postponed", subject=subject, error=error.code)
        except Exception:
            log.exception("visit_broken", subject=subject)


async def heartbeat(store: Store, worker_id: str, clock: Clock, stop: asyncio.Event) -> None:
    """The worker's sign of life: without it, what it had sent is taken over."""
    while not stop.is_set():
        try:
            await store.beat(worker_id, clock.now())
        except GatewayError:
            log.debug("beat_missed")  # the store is away, and with it whoever would read this
        except Exception:  # a worker that lives must not be taken for dead for ever
            log.exception("beat_broken")
        await paused(stop, HEARTBEAT_INTERVAL_MS)


async def paused(stop: asyncio.Event, milliseconds: int) -> None:
    """Sleep, or wake at once to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(milliseconds / 1000):
            await stop.wait()

"""Payments on their way: the tasks that carry them belong to the process,
not to the request that began them.

A till that hangs up changes nothing. Waiters of this worker are woken by the transition itself; for
changes made by other workers, one query a worker looks at all awaited payments a few times a
second. No pub/sub.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from gateway.domain.errors import GatewayError, Overloaded
from gateway.domain.payment import Payment
from gateway.flow.ports import Store
from gateway.limits import PAYMENTS_IN_FLIGHT_MAX, WATCH_INTERVAL_MS
from gateway.telemetry.metrics import IN_FLIGHT

log = structlog.get_logger("tillgate.flow")


class InFlight:
    """Owns tasks and waiters. `admit` bounds the payments one worker carries."""

    __slots__ = ("_draining", "_store", "_tasks", "_waiters", "_watch", "places_taken")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tasks: set[asyncio.Task[Any]] = set()
        self.places_taken = 0
        self._draining = False
        self._waiters: dict[tuple[str, str], dict[asyncio.Future[Payment], int]] = {}
        self._watch: asyncio.Task[None] | None = None

    def admitted(self) -> _Place:
        """A place for one request, while the context lasts.

        Raises `Overloaded` before anything is written.
        """
        return _Place(self)

    def carry(self, road: Coroutine[Any, Any, Any], name: str) -> None:
        """Run `road` to its end, also when the caller hangs up."""
        task = asyncio.create_task(road, name=name)
        self._tasks.add(task)
        IN_FLIGHT.inc()
        task.add_done_callback(self._done)

    @property
    def roads(self) -> int:
        """How many are under way."""
        return len(self._tasks)

    def wake(self, payment: Payment) -> None:
        """A transition of this worker is durable."""
        for waiter, known in self._waiters.get((payment.merchant_id, payment.id), {}).items():
            if payment.version > known and not waiter.done():
                waiter.set_result(payment)

    async def wait(
        self, payment: Payment, seconds: float, enough: Callable[[Payment], bool]
    ) -> Payment:
        """The payment once `enough` holds, or as it is when the time is up."""
        if enough(payment) or self._draining:
            return payment
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (enough(payment) or self._draining):
                    payment = await self._changed(payment)
        return payment

    def let_go(self) -> None:
        """The worker drains: each waiting request is answered with what there is.

        The roads go on.
        """
        self._draining = True
        for waiters in self._waiters.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(TimeoutError())

    async def close(self) -> None:
        """Wait for the roads under way; each is bounded by its own deadlines."""
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _changed(self, payment: Payment) -> Payment:
        key = (payment.merchant_id, payment.id)
        waiter: asyncio.Future[Payment] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(key, {})[waiter] = payment.version
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._look(), name="watch")
        try:
            return await waiter
        finally:
            waiters = self._waiters[key]
            del waiters[waiter]
            if not waiters:
                del self._waiters[key]

    async def _look(self) -> None:
        """Lives while a request waits."""
        while self._waiters:
            await asyncio.sleep(WATCH_INTERVAL_MS / 1000)
            awaited = list(self._waiters)
            if not awaited:
                return
            # The store is away: waiters run into their time-out.
            with contextlib.suppress(GatewayError):
                versions = await self._store.versions(awaited)
                for merchant_id, payment_id in awaited:
                    waiters = self._waiters.get((merchant_id, payment_id), {})
                    if any(versions.get(payment_id, 0) > known for known in waiters.values()):
                        payment = await self._store.payment(merchant_id, payment_id)
                        if payment is not None:
                            self.wake(payment)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        IN_FLIGHT.dec()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The row is durable: the sweeper finishes what this task could not.
            log.error(
                "road_broken", task=task.get_name(), error=type(error).__name__, exc_info=error
            )


class _Place:
    """One admitted request; a road under way keeps a place too."""

    __slots__ = ("_in_flight",)

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight

    def __enter__(self) -> None:
        if self._in_flight.places_taken + self._in_flight.roads >= PAYMENTS_IN_FLIGHT_MAX:
            raise Overloaded
        self._in_flight.places_taken += 1

    def __exit__(self, *_: object) -> None:
        self._in_flight.places_taken -= 1

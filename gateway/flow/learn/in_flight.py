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
from typing import Any, Self

import structlog

from gateway.domain.errors import GatewayError, Overloaded
from gateway.domain.payment import Payment
from gateway.flow.ports import Store
from gateway.limits import PAYMENTS_IN_FLIGHT_MAX, WATCH_INTERVAL_MS
from gateway.telemetry.metrics import IN_FLIGHT

log = structlog.get_logger("tillgate.flow")


class InFlight:
    """Owns tasks and waiters. `admit` bounds the payments one worker carries."""

    __slots__ = ("_store", "_tasks", "_waiters", "_watch", "draining", "places_taken")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tasks: set[asyncio.Task[Any]] = set()
        self.places_taken = 0
        self.draining = False
        self._waiters: dict[tuple[str, str], set[Waiter]] = {}
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

    def waiter(self) -> Waiter:
        """For one request that is going to wait for a payment; a context that ends with it."""
        return Waiter(self)

    def wake(self, payment: Payment) -> None:
        """A transition of this worker is durable."""
        for waiter in self._waiters.get((payment.merchant_id, payment.id), ()):
            waiter.hear(payment)

    def let_go(self) -> None:
        """The worker drains: each waiting request is answered with what there is.

        The roads go on.
        """
        self.draining = True
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.stir()

    async def close(self) -> None:
        """Wait for the roads under way; each is bounded by its own deadlines."""
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def register(self, waiter: Waiter, key: tuple[str, str]) -> None:
        """From now on `waiter` hears of every change of the payment `key` (merchant, id)."""
        self._waiters.setdefault(key, set()).add(waiter)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._look(), name="watch")

    def forget(self, waiter: Waiter, key: tuple[str, str]) -> None:
        """Its request has ended."""
        waiters = self._waiters[key]
        waiters.discard(waiter)
        if not waiters:
            del self._waiters[key]

    async def _look(self) -> None:
        """Lives while a request waits."""
        while self._waiters:
            await asyncio.sleep(WATCH_INTERVAL_MS / 1000)
            known = [
                (*key, min(waiter.known for waiter in waiters))
                for key, waiters in self._waiters.items()
            ]
            # While the store is away the requests run into their time-out.
            with contextlib.suppress(GatewayError):
                for payment in await self._store.newer(known):
                    self.wake(payment)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        IN_FLIGHT.dec()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The row is durable: the sweeper finishes what this task could not.
            log.error(
                "road_broken", task=task.get_name(), error=type(error).__name__, exc_info=error
            )


class Waiter:
    """One request and the payment it waits for.

    It is told the payment before that payment's road starts, or before it is read: what changes in
    between is heard. A change that nobody hears costs the till a round of the watch, and more when
    the store is busy.
    """

    __slots__ = ("_in_flight", "_key", "_latest", "_stirred")

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._key: tuple[str, str] | None = None
        self._latest: Payment | None = None
        self._stirred = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._key is not None:
            self._in_flight.forget(self, self._key)

    def await_changes(self, merchant_id: str, payment_id: str) -> None:
        """From now on. A second call for the same payment changes nothing."""
        if self._key is None:
            self._key = merchant_id, payment_id
            self._in_flight.register(self, self._key)
        assert self._key == (merchant_id, payment_id), "a waiter waits for one payment"

    @property
    def known(self) -> int:
        """The newest version heard of; 0 before any."""
        return self._latest.version if self._latest is not None else 0

    def hear(self, payment: Payment) -> None:
        """A newer state of it is durable."""
        if payment.version > self.known:
            self._latest = payment
            self._stirred.set()

    def stir(self) -> None:
        """Look again whether there is anything left to wait for."""
        self._stirred.set()

    async def until(
        self, enough: Callable[[Payment], bool], payment: Payment, seconds: float
    ) -> Payment:
        """The payment once `enough` holds, or as it is when the time is up or the worker drains.

        `payment`: the state the caller knows.
        """
        self.await_changes(payment.merchant_id, payment.id)
        self.hear(payment)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (enough(self._newest) or self._in_flight.draining):
                    self._stirred.clear()
                    await self._stirred.wait()
        return self._newest

    @property
    def _newest(self) -> Payment:
        assert self._latest is not None, "a caller tells what it knows before it waits"
        return self._latest


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

"""A worker of a simulated world: the real flow, on lines to the store, to Redis and to the channels
that fail as real ones do.

Killing it cancels its tasks wherever they stand; what had left (a write handed over, a request on
its way) happens all the same. A frozen worker goes on later as if nothing had been, with everything
it believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

from gateway.domain.errors import GatewayError, OutcomePending, StoreUnavailable
from gateway.flow.accounts import RemoteAccount
from gateway.flow.in_doubt import InDoubt
from gateway.limits import HEARTBEAT_LEASE_MS
from gateway.workers.sweeper import Sweeper
from tests.fakes.channel import SimChannel
from tests.fakes.store import MemoryStore
from tests.shelf import Shelf
from tests.simulation.clock import SimClock, SimIds
from tests.simulation.desks import wired

OWNER: contextvars.ContextVar[Worker | None] = contextvars.ContextVar("owner", default=None)
MERCHANT, STORE = "m1", "s1"
WRITES = ("open", "open_in_order", "apply")
BEAT_S = HEARTBEAT_LEASE_MS / 1000 / 2


@dataclass(frozen=True, slots=True)
class Weather:
    """How the gateway's own surroundings behave; probabilities a call."""

    store_away: float = 0.0  # refused before anything was written
    reply_lost: float = 0.0  # written, and nobody hears of it
    store_slow_s: float = 0.002
    redis_away: float = 0.0
    redis_grants_all: bool = False  # a Redis that lost its memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all workers of a world share.

    `flow` names the classes under test, so that a test may plant a bug in one of them.
    """

    clock: SimClock
    ids: SimIds
    chance: random.Random
    weather: Callable[[], Weather]
    store: MemoryStore
    claims: Any
    accounts: list[tuple[RemoteAccount, SimChannel]]
    faults: list[str]
    in_doubt: type[InDoubt] = InDoubt


class Worker:
    """`ask(coroutine)` runs a request in it; a killed worker answers nobody."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.id = around.ids.new("wrk")
        self.dead = False
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self._awake = asyncio.Event()
        self._awake.set()
        self._context = contextvars.copy_context()
        self._context.run(OWNER.set, self)
        accounts = [
            dataclasses.replace(account, channel=cast("Any", ChannelLine(self, channel)))
            for account, channel in around.accounts
        ]
        manifests = {account.manifest.channel: account.manifest for account in accounts}
        store: Any = StoreLine(self)
        self.desks = wired(
            store=store,
            claims=ClaimsLine(self),
            directory=Shelf(MERCHANT, (STORE,), accounts, manifests),
            clock=around.clock,
            ids=around.ids,
            worker_id=self.id,
            in_doubt=around.in_doubt,
        )
        self.sweeper = Visits(store, self.desks.in_doubt, around.clock)

    def start(self) -> None:
        """The heart and the sweeper."""
        self.begin(self._beat())
        self.begin(self._sweep())

    def begin(self, road: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of this worker; so are all tasks it starts."""
        return asyncio.get_running_loop().create_task(road, context=self._context.copy())

    async def ask(self, request: Coroutine[Any, Any, Any]) -> Any:
        """The answer. Raises `ConnectionError` when the worker dies before it answers."""
        if self.dead:
            request.close()
            raise ConnectionError
        task = self.begin(request)
        await asyncio.wait((task,))
        if task.cancelled():
            raise ConnectionError
        return task.result()

    def ended(self, task: asyncio.Task[Any]) -> None:
        """A refusal is an answer; anything else that a task throws is a fault of the program."""
        self.tasks.pop(task, None)
        if (
            not task.cancelled()
            and (error := task.exception()) is not None
            and not isinstance(error, GatewayError)
        ):
            self.around.faults.append(f"{task.get_name()}: {error!r}")

    def kill(self) -> None:
        """Now, wherever its tasks stand."""
        self.dead = True
        self._awake.set()
        for task in list(self.tasks):
            task.cancel()

    async def freeze(self, seconds: float) -> None:
        """It stands still and does not know it."""
        self._awake.clear()
        await asyncio.sleep(seconds)
        self._awake.set()

    async def running(self) -> None:
        """Passed by whatever the worker does to the world.

        The dead do nothing, not even on their way out.
        """
        await self._awake.wait()
        if self.dead:
            raise asyncio.CancelledError

    async def _beat(self) -> None:
        while True:
            await self.running()
            await self.around.store.beat(self.id)
            await asyncio.sleep(BEAT_S)

    async def _sweep(self) -> None:
        """The real sweeper's look, whenever there may be something to see: looking every moment
        would only cost time.
        """
        while True:
            await asyncio.sleep(self._next_look_s())
            with contextlib.suppress(GatewayError):
                await self.sweeper.take()

    def _next_look_s(self) -> float:
        store, now = self.around.store, self.around.clock.now()
        due = [
            a.due_at
            for p in store.payment_rows.values()
            for a in p.attempts
            if a.due_at is not None and a.status != "sent"
        ]
        due += [r.due_at for r in store.refund_rows.values() if r.due_at is not None]
        return (
            max(0.4, min(3.0, *((moment - now).total_seconds() for moment in due))) if due else 3.0
        )


class Visits(Sweeper):
    """The real sweeper, but what a visit throws is seen."""

    async def _finished(self, visit: Any, subject: str) -> None:
        with contextlib.suppress(GatewayError):
            await visit


class StoreLine:
    """The store as one worker reaches it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __getattr__(self, name: str) -> Any:
        around = self._worker.around
        method, chance = getattr(around.store, name), around.chance

        async def call(*arguments: Any, **options: Any) -> Any:
            weather = around.weather()
            await self._worker.running()
            await asyncio.sleep(chance.uniform(0, weather.store_slow_s))
            await self._worker.running()
            if chance.random() < weather.store_away:
                raise StoreUnavailable
            answer = await method(*arguments, **options)
            if name in WRITES:
                await asyncio.sleep(chance.uniform(0, weather.store_slow_s))
                await self._worker.running()
            if chance.random() < weather.reply_lost:
                raise OutcomePending if name in WRITES else StoreUnavailable
            return answer

        return call


class ClaimsLine:
    """Redis as one worker reaches it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def take(self, key: str, token: str) -> bool | None:
        around = self._worker.around
        weather = around.weather()
        await self._worker.running()
        if around.chance.random() < weather.redis_away:
            return None
        if weather.redis_grants_all:
            return True
        answer: bool | None = await around.claims.take(key, token)
        return answer

    def release(self, key: str, token: str) -> None:
        if not self._worker.dead:
            self._worker.around.claims.release(key, token)


class ChannelLine:
    """A channel as one worker reaches it: a frozen worker neither sends nor hears."""

    def __init__(self, worker: Worker, channel: SimChannel) -> None:
        self._worker, self._channel = worker, channel

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._channel, name)
        if not asyncio.iscoroutinefunction(method):
            return method

        async def call(request: Any) -> Any:
            await self._worker.running()
            answer = await method(request)
            await self._worker.running()
            return answer

        return call


def owned_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    """The loop's task factory: every task is known to the worker it belongs to, and what it throws
    is known to the world.
    """
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
    context = options.get("context")
    owner = context.get(OWNER) if context is not None else OWNER.get()
    if owner is not None:
        owner.tasks[task] = None
        task.add_done_callback(owner.ended)
    return task

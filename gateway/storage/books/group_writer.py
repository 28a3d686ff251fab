"""Many waiting records, one statement, one commit:
round trips and commits bound the throughput, not Python.

A writer has one statement, one queue and lanes, each with a connection of its own (a pool would add
a reset round trip to every release). A lane takes what waits, up to `FLUSH_RECORDS_MAX`, sorted by
key, and flushes it while the other lane collects the next. No two records that touch the same row
share a flush or two flushes in flight. Nobody is answered before the commit.

A reply lost on the way says nothing about the commit: the same records are sent again on a new
connection, where the rows of the first sending make them lose against themselves, and the caller's
`judge` tells such a loss from a real one.

Nobody waits for ever behind a PostgreSQL that hangs. A record that has waited
`WRITER_QUEUE_WAIT_MS_MAX` is refused while it is still ours alone: "nothing written" is then true.
One that was handed over is answered when its flush ends, or when `WRITER_FLUSH_MS_MAX` has passed,
and then with "perhaps" unless the server itself said that it rolled back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import asyncpg
import structlog

from gateway.domain.errors import OutcomePending, Overloaded, StoreUnavailable
from gateway.limits import (
    FLUSH_RECORDS_MAX,
    FLUSHES_IN_FLIGHT_MAX,
    WRITER_FLUSH_MS_MAX,
    WRITER_QUEUE_RECORDS_MAX,
    WRITER_QUEUE_WAIT_MS_MAX,
)
from gateway.storage.connections import (
    ANSWER_TIMEOUT_S,
    COLLIDED,
    GAVE_UP,
    ONLY_READS,
    REPLY_LOST,
    UNREACHABLE,
    connect,
    discard,
)
from gateway.telemetry.metrics import STORE_FLUSHES, STORE_RETRIES

R = TypeVar("R")
QUEUE_WAIT_S, FLUSH_S = WRITER_QUEUE_WAIT_MS_MAX / 1000, WRITER_FLUSH_MS_MAX / 1000
log = structlog.get_logger("tillgate.store")


@dataclass(frozen=True, slots=True)
class Kind(Generic[R]):
    """What a writer writes.

    `keys` are the rows a record touches, the first of them its sort key; `found` reads one answer
    row's key.
    """

    name: str
    statement: str
    arguments: Callable[[list[R]], list[str]]
    keys: Callable[[R], tuple[Hashable, ...]]
    sort_key: Callable[[R], Any]
    identity: Callable[[R], tuple[str, str]]


@dataclass(slots=True, eq=False)
class _Waiting(Generic[R]):
    record: R
    keys: tuple[Hashable, ...]
    answer: asyncio.Future[asyncpg.Record | None]
    since: float  # seconds of the loop's clock
    # A reply to it was lost: it may stand, whatever later sendings say.
    lost_once: bool = field(default=False)


class _Lane:
    """One connection. It belongs to the lane from the moment it is open, whatever becomes of the
    flush that asked for it.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection[Any] | None = None

    async def connected(self, give_up_at: float) -> asyncpg.Connection[Any]:
        """Raises one of `UNREACHABLE`, or what the server said."""
        if self._connection is None or self._connection.is_closed():
            async with asyncio.timeout_at(give_up_at):
                self._connection = await connect(self._dsn, writing=True)
        return self._connection

    async def drop(self) -> None:
        """Its state is unknown, or it cannot write: the next flush opens another."""
        connection, self._connection = self._connection, None
        await discard(connection)

    async def close(self) -> None:
        """Nothing is under way on it."""
        if self._connection is not None:
            with contextlib.suppress(*REPLY_LOST, asyncpg.PostgresError):
                await self._connection.close()


class GroupWriter(Generic[R]):
    """`write(record)` returns the answer row, or None: the record lost a conflict (also against its
    own first sending).
    """

    def __init__(self, dsn: str, kind: Kind[R]) -> None:
        self._dsn = dsn
        self._kind = kind
        self._queue: deque[_Waiting[R]] = deque()
        self._busy: set[Hashable] = set()
        self._work = asyncio.Event()
        # One for the whole queue: set to when its oldest record has waited enough.
        self._alarm: asyncio.TimerHandle | None = None
        self._lanes: list[asyncio.Task[None]] = []
        self._flushed = STORE_FLUSHES.labels(kind.name)
        self._closing = False

    def start(self) -> None:
        """Start the lanes on the running loop. The first connects at once: the first customer of a
        worker need not wait for that. The others do when they are needed.
        """
        self._lanes = [
            asyncio.create_task(
                self._run(_Lane(self._dsn), is_first=n == 0), name=f"{self._kind.name}-lane-{n}"
            )
            for n in range(FLUSHES_IN_FLIGHT_MAX)
        ]

    async def write(self, record: R) -> asyncpg.Record | None:
        """Durable when it returns.

        Raises `Overloaded` and `StoreUnavailable` (nothing written) or `OutcomePending` (perhaps).
        """
        if self._closing or len(self._queue) >= WRITER_QUEUE_RECORDS_MAX:
            raise Overloaded
        loop = asyncio.get_running_loop()
        waiting = _Waiting(record, self._kind.keys(record), loop.create_future(), loop.time())
        self._queue.append(waiting)
        self._work.set()
        if self._alarm is None:
            self._alarm = loop.call_at(waiting.since + QUEUE_WAIT_S, self._ring)
        return await waiting.answer

    async def close(self) -> None:
        """Flush what waits, then stop."""
        self._closing = True
        self._work.set()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        if self._alarm is not None:
            self._alarm.cancel()

    def __repr__(self) -> str:
        return (
            f"<GroupWriter {self._kind.name} waiting={len(self._queue)} "
            f"rows_in_flight={len(self._busy)}>"
        )

    async def _run(self, lane: _Lane, *, is_first: bool) -> None:
        if is_first:
            with contextlib.suppress(*UNREACHABLE, asyncpg.PostgresError):
                await lane.connected(asyncio.get_running_loop().time() + FLUSH_S)
        while batch := await self._next_batch():
            try:
                await self._flush(lane, batch, asyncio.get_running_loop().time() + FLUSH_S)
            except Exception as error:  # noqa: BLE001 - a lane must outlive whatever a batch brings; its records hear of it
                self._fail(batch, error)
            finally:
                for waiting in batch:
                    self._busy.difference_update(waiting.keys)
                self._work.set()  # what waited for these rows may go
        await lane.close()

    async def _next_batch(self) -> list[_Waiting[R]]:
        while True:
            if batch := self._take():
                return batch
            if self._closing and not self._queue:
                return []
            self._work.clear()
            await self._work.wait()

    def _ring(self) -> None:
        """The oldest record has waited enough, if it is still there."""
        self._refuse_the_old()
        self._alarm = None
        if self._queue:
            self._alarm = asyncio.get_running_loop().call_at(
                self._queue[0].since + QUEUE_WAIT_S, self._ring
            )

    def _refuse_the_old(self) -> None:
        """Whoever has waited too long for a lane hears so; the queue is in order of age."""
        too_old = asyncio.get_running_loop().time() - QUEUE_WAIT_S
        refused = 0
        while self._queue and self._queue[0].since <= too_old:
            waiting = self._queue.popleft()
            if not waiting.answer.done():  # its caller is still there
                waiting.answer.set_exception(StoreUnavailable())
                refused += 1
        if refused:
            log.warning(
                "store_too_slow", writer=self._kind.name, error="QueueWait", records=refused
            )

    def _take(self) -> list[_Waiting[R]]:
        """What may be flushed now; a record whose rows are in flight, or already in this batch,
        keeps its place.
        """
        self._refuse_the_old()
        batch: list[_Waiting[R]] = []
        kept: list[_Waiting[R]] = []
        while self._queue and len(batch) < FLUSH_RECORDS_MAX:
            waiting = self._queue.popleft()
            if waiting.answer.done():  # its caller left before anything was sent
                continue
            if self._busy.isdisjoint(waiting.keys):
                self._busy.update(waiting.keys)
                batch.append(waiting)
            else:
                kept.append(waiting)
        self._queue.extendleft(reversed(kept))
        batch.sort(key=lambda waiting: self._kind.sort_key(waiting.record))
        return batch

    async def _flush(self, lane: _Lane, batch: list[_Waiting[R]], give_up_at: float) -> None:
        """Raises what the callers are told, no later than `give_up_at` on the loop's clock."""
        self._flushed.observe(len(batch))
        again = "no"
        for attempt in range(4):
            if asyncio.get_running_loop().time() >= give_up_at:
                break
            try:
                connection = await lane.connected(give_up_at)
            except (*UNREACHABLE, asyncpg.PostgresError) as error:
                self._tell("store_unreachable", batch, error)
                raise _absence(batch) from error
            try:
                found = await self._send(connection, batch, give_up_at)
            except COLLIDED:
                again = "collided"
            except REPLY_LOST as error:
                self._tell("reply_lost", batch, error, attempt=attempt)
                for waiting in batch:
                    waiting.lost_once = True
                await lane.drop()
                again = "reply_lost"
            except GAVE_UP as error:
                self._tell("store_too_slow", batch, error)
                if isinstance(error, ONLY_READS):
                    await lane.drop()
                raise _absence(batch) from error
            except asyncpg.PostgresError:
                if len(batch) == 1:
                    raise
                return await self._one_by_one(lane, batch, give_up_at)
            else:
                for waiting in batch:
                    if not waiting.answer.done():
                        waiting.answer.set_result(found.get(self._kind.identity(waiting.record)))
                return None
            STORE_RETRIES.labels(again).inc()
        if again == "collided" and len(batch) > 1:
            return await self._one_by_one(lane, batch, give_up_at)
        raise _absence(batch)

    async def _send(
        self, connection: asyncpg.Connection[Any], batch: Sequence[_Waiting[R]], give_up_at: float
    ) -> dict[tuple[str, str], asyncpg.Record]:
        arguments = self._kind.arguments([waiting.record for waiting in batch])
        async with asyncio.timeout_at(
            min(asyncio.get_running_loop().time() + ANSWER_TIMEOUT_S, give_up_at)
        ):
            answer = await connection.fetch(self._kind.statement, *arguments)
        return {(row["merchant_id"], row["payment_id"]): row for row in answer}

    async def _one_by_one(self, lane: _Lane, batch: list[_Waiting[R]], give_up_at: float) -> None:
        """One bad record must not fail its neighbours."""
        for waiting in batch:
            try:
                await self._flush(lane, [waiting], give_up_at)
            except Exception as error:  # noqa: BLE001 - told to the one caller it belongs to
                self._fail([waiting], error)

    def _tell(self, what: str, batch: list[_Waiting[R]], error: Exception, **more: int) -> None:
        log.warning(
            what,
            writer=self._kind.name,
            error=type(error).__name__,
            records=len(batch),
            **more,
        )

    def _fail(self, batch: list[_Waiting[R]], error: Exception) -> None:
        if not isinstance(error, (StoreUnavailable, Overloaded)):
            log.error(
                "flush_failed",
                writer=self._kind.name,
                error=type(error).__name__,
                sqlstate=getattr(error, "sqlstate", None),
            )
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)


def _absence(batch: Sequence[_Waiting[Any]]) -> StoreUnavailable:
    return OutcomePending() if any(waiting.lost_once for waiting in batch) else StoreUnavailable()

"""The sweeper's loop: what it logs while the store is away, and how long it believes in a lease."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from structlog.testing import capture_logs

from gateway.clock import SystemClock
from gateway.domain.errors import StoreUnavailable
from gateway.flow.due import DueAttempt, DueRefund
from gateway.flow.in_doubt import InDoubt
from gateway.flow.ports import Store
from gateway.limits import SWEEP_LEASE_MS
from gateway.workers.sweeper import Sweeper
from tests.fakes.outbox import HandClock
from tests.fakes.store import MemoryStore


class _AwayForThreeSweeps:
    """Gives nothing; the first three askings fail; after the fifth it asks the loop to stop."""

    def __init__(self) -> None:
        self.askings, self.stop = 0, asyncio.Event()

    async def take_due_attempts(self, *_: object) -> Sequence[Any]:
        self.askings += 1
        if self.askings <= 3:
            raise StoreUnavailable
        return ()

    async def take_due_refunds(self, *_: object) -> Sequence[Any]:
        if self.askings == 5:
            self.stop.set()
        return ()


async def test_an_absence_is_told_when_it_begins_and_when_it_ends() -> None:
    store = _AwayForThreeSweeps()
    sweeper = Sweeper(cast("Store", store), cast("InDoubt", None), SystemClock())
    with capture_logs() as logs:
        await sweeper.run(store.stop)
    assert [line["event"] for line in logs] == ["sweep_postponed", "sweep_resumed"]


class _SlowToTake(MemoryStore):
    """Each look takes ten seconds."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock.now)
        self.clock = clock

    async def take_due_attempts(self, *arguments: Any) -> Sequence[DueAttempt]:
        self.clock.advance(10)
        return [DueAttempt("m1", "pay_1", "TT1", "acct_1")]

    async def take_due_refunds(self, *arguments: Any) -> Sequence[DueRefund]:
        self.clock.advance(10)
        return [DueRefund("m1", "pay_1", "ref_1", "acct_1")]


class _Visitor:
    """Notes until when each visit may send."""

    def __init__(self) -> None:
        self.until: dict[str, float] = {}

    async def visit(self, due: DueAttempt, until: float) -> None:
        self.until[due.payment_id] = until

    async def visit_refund(self, due: DueRefund, until: float) -> None:
        self.until[due.refund_id] = until


async def test_a_lease_is_counted_from_before_it_was_asked_for() -> None:
    """The store counts from within its statement: the sweeper must not believe in it any longer."""
    clock, visitor = HandClock(), _Visitor()
    sweeper = Sweeper(_SlowToTake(clock), cast("InDoubt", visitor), clock)
    began = clock.monotonic()
    await sweeper.take()
    await asyncio.gather(*sweeper._visits)
    lease_s = SWEEP_LEASE_MS / 1000
    assert visitor.until == {"pay_1": began + lease_s, "ref_1": began + 10 + lease_s}

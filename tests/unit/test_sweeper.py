"""The sweeper's loop while the store is away: what it logs."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from structlog.testing import capture_logs

from gateway.clock import SystemClock
from gateway.domain.errors import StoreUnavailable
from gateway.flow.in_doubt import InDoubt
from gateway.flow.ports import Store
from gateway.workers.sweeper import Sweeper


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

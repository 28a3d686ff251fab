"""Every store that claims to fill the port, one after the other."""

from collections.abc import AsyncIterator

import pytest

from gateway.storage.postgres import PostgresStore
from tests.contract.drawn import Books
from tests.fakes.store import MemoryStore
from tests.servers import DatabaseServer
from tests.store_clock import MemoryClock, ServerClock


@pytest.fixture(params=["memory", "postgres"])
async def books(request: pytest.FixtureRequest) -> AsyncIterator[Books]:
    if request.param == "memory":
        told = MemoryClock()
        yield Books(MemoryStore(told.now), told)
        return
    server: DatabaseServer = request.getfixturevalue("postgres")
    dsn = await server.fresh_database()
    clock = await ServerClock.of(dsn)
    store = await PostgresStore.connected(dsn)
    yield Books(store, clock)
    await store.close()
    await clock.close()
    await server.give_back(dsn)

"""Every store that claims to fill the port, one after the other."""

from collections.abc import AsyncIterator

import pytest

from gateway.storage.postgres import PostgresStore
from tests.contract.drawn import Books
from tests.fakes.store import MemoryStore
from tests.servers import DatabaseServer


@pytest.fixture(params=["memory", "postgres"])
async def books(request: pytest.FixtureRequest) -> AsyncIterator[Books]:
    if request.param == "memory":
        yield Books(MemoryStore())
        return
    server: DatabaseServer = request.getfixturevalue("postgres")
    dsn = await server.fresh_database()
    store = await PostgresStore.connected(dsn)
    yield Books(store)
    await store.close()
    await server.give_back(dsn)

"""Fixtures that every test may use; the servers behind them start only when somebody asks."""

from collections.abc import AsyncIterator, Iterator

import pytest
import redis.asyncio

from tests import servers
from tests.servers import DatabaseServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[DatabaseServer]:
    """The session's PostgreSQL; `await postgres.fresh_database()` for more
    than one database in a test.
    """
    with servers.postgres_server() as server:
        yield server


@pytest.fixture
async def database(postgres: DatabaseServer) -> AsyncIterator[str]:
    """DSN of a migrated database that only this test uses."""
    dsn = await postgres.fresh_database()
    yield dsn
    await postgres.give_back(dsn)


@pytest.fixture
async def empty_database(postgres: DatabaseServer) -> AsyncIterator[str]:
    """DSN of a database without any table, for this test only."""
    dsn = await postgres.empty_database()
    yield dsn
    await postgres.give_back(dsn)


@pytest.fixture(scope="session")
def redis_session_url() -> Iterator[str]:
    """URL of the session's Redis; ask for `redis_url` instead, which is empty."""
    with servers.redis_server() as url:
        yield url


@pytest.fixture
async def redis_url(redis_session_url: str) -> str:
    """URL of a Redis without any key."""
    client = redis.asyncio.from_url(redis_session_url)
    await client.flushall()
    await client.aclose()
    return redis_session_url

"""Fixtures that every test may use; the servers behind them start only when a test asks for them.

What a fixture needs is imported by it: a file of unit tests runs in a second or two.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.skips import NO_REDIS

if TYPE_CHECKING:
    from tests.sandbox_process import SandboxProcess
    from tests.servers import DatabaseServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[DatabaseServer]:
    """The session's PostgreSQL; `await postgres.fresh_database()` for more
    than one database in a test.
    """
    from tests.servers import postgres_server

    with postgres_server() as server:
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
    from gateway.embedded.errors import ServerMissingError
    from tests.servers import redis_server

    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(redis_server())
        except ServerMissingError:
            pytest.skip(NO_REDIS)
        yield url


@pytest.fixture
async def redis_url(redis_session_url: str) -> str:
    """URL of a Redis without any key."""
    import redis.asyncio

    client = redis.asyncio.from_url(redis_session_url)
    await client.flushall()
    await client.aclose()
    return redis_session_url


@pytest.fixture(scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SandboxProcess]:
    """The session's sandbox of channels, with its default settings; every test enrols accounts of
    its own, and disarms what it armed.
    """
    from tests.sandbox_process import SandboxProcess

    process = SandboxProcess()
    await process.start(tmp_path_factory.mktemp("sandbox"))
    yield process
    await process.stop()

"""Fixtures of the tests that break things:
one sandbox a session, and a fresh world for whoever kills it.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.adversity.house import House, house
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.world import Shop, shop


@pytest.fixture(scope="module")
async def quiet(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    """A shop whose sweeper is held still, so that nothing changes by itself; one a module."""
    dsn = await postgres.fresh_database()
    async with shop(dsn, sandbox=sandbox, sweep=False) as opened:
        yield opened
    await postgres.give_back(dsn)


@pytest.fixture
async def processes(
    database: str, redis_url: str, sandbox: SandboxProcess, tmp_path: Path
) -> AsyncIterator[House]:
    """A gateway of real processes."""
    async with house(database, sandbox, tmp_path, redis_url=redis_url) as opened:
        yield opened


@pytest.fixture(autouse=True)
async def _disarmed(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """No fault outlives its test."""
    yield
    if "sandbox" in request.fixturenames:
        await request.getfixturevalue("sandbox").disarm()

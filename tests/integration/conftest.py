"""Fixtures of the tests that run a whole gateway."""

from collections.abc import AsyncIterator

import pytest

from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.world import Shop, shop


@pytest.fixture(scope="module")
async def market(
    postgres: DatabaseServer, redis_session_url: str, sandbox: SandboxProcess
) -> AsyncIterator[Shop]:
    """A shop with cash and every remote channel, sweeper running; one a module, since enrolling an
    account makes RSA keys.
    """
    dsn = await postgres.fresh_database()
    async with shop(dsn, redis_url=redis_session_url, sandbox=sandbox) as opened:
        yield opened
    await postgres.give_back(dsn)


@pytest.fixture(autouse=True)
async def _disarmed(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """No fault outlives its test."""
    yield
    if "sandbox" in request.fixturenames:
        await request.getfixturevalue("sandbox").disarm()

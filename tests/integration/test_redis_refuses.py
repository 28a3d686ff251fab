"""A Redis that answers every PING and takes no write: readiness and the doctor say so, and a claim
is skipped.
"""

from collections.abc import Iterator

import pytest
import redis.asyncio

from gateway.cli.commands.checks import examine
from gateway.cli.commands.finding import Diagnosis, Level
from gateway.clock import SystemClock
from gateway.storage.redis.claims import RedisClaims
from tests.patience import PATIENCE_S
from tests.servers import redis_server
from tests.world import settings_for


@pytest.fixture(scope="module")
def own_redis() -> Iterator[str]:
    """Its settings are the test's to change."""
    with redis_server() as url:
        yield url


async def told(dsn: str, redis_url: str) -> Diagnosis:
    found = await examine(settings_for(dsn, redis_url, None))
    (finding,) = [each for each in found if each.name == "redis"]
    return finding


@pytest.mark.parametrize(
    ("refuse", "allow", "words"),
    [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "maxmemory"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "read only replica"),
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "replicas"),
    ],
    ids=["full", "replica", "alone"],
)
async def test_a_redis_that_refuses_writes_is_told(
    own_redis: str, database: str, refuse: str, allow: str, words: str
) -> None:
    claims = RedisClaims(own_redis, SystemClock(), timeout_ms=round(PATIENCE_S * 1000))
    async with redis.asyncio.from_url(own_redis) as person:
        try:
            assert (await claims.state(), await claims.take(f"{refuse} 1", "a")) == ("up", True)
            assert await told(database, own_redis) == Diagnosis(
                Level.GOOD, "redis", "answers and takes writes"
            )
            await person.execute_command(*refuse.split())
            assert await claims.state() == "refuses writes"
            assert await claims.take(f"{refuse} 2", "a") is None
            finding = await told(database, own_redis)
            assert (finding.level, words in finding.text) == (Level.WARNING, True), finding.text
            await person.execute_command(*allow.split())
            assert await claims.state() == "up"
        finally:
            await person.execute_command(*allow.split())
            await claims.close()

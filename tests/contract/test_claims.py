"""What claims promise: one holder at a time, let go by the holder only, and never more than a
nuisance when they are gone.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import redis.asyncio

from gateway.cli.dev.ports import reserved_port
from gateway.limits import CLAIM_TTL_MS, REDIS_FAILURES_MAX, REDIS_REST_MS, REDIS_TIMEOUT_MS
from gateway.storage.redis.claims import NoClaims, RedisClaims
from tests.fakes.claims import MemoryClaims
from tests.fakes.clock import HandClock
from tests.patience import PATIENCE_S
from tests.redis_door import Door

PATIENCE_MS = int(PATIENCE_S * 1000)  # on a busy machine 50 ms is not "gone"

_keys = itertools.count(1)


@dataclass
class Side:
    """Claims, and the one thing that differs: how a claim grows old."""

    claims: RedisClaims | MemoryClaims
    clock: HandClock
    client: redis.asyncio.Redis | None

    async def expire(self, key: str) -> None:
        """Let the claim's time run out."""
        if self.client is None:
            self.clock.seconds += CLAIM_TTL_MS / 1000
        else:
            assert 0 < await self.client.pttl(key) <= CLAIM_TTL_MS
            await self.client.pexpire(key, 0)


@pytest.fixture(params=["memory", "redis"])
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    clock = HandClock()
    if request.param == "memory":
        yield Side(MemoryClaims(clock), clock, None)
        return
    url = request.getfixturevalue("redis_session_url")
    client = redis.asyncio.from_url(url)
    claims = RedisClaims(url, clock, timeout_ms=PATIENCE_MS)
    yield Side(claims, clock, client)
    await claims.close()
    await client.aclose()


async def first_use(claims: RedisClaims, clock: HandClock) -> None:
    """A new connection may take longer than a claim may cost;
    that is not what these tests are about.
    """
    async with asyncio.timeout(PATIENCE_S):
        while await claims.state() != "up":
            clock.seconds += REDIS_REST_MS / 1000


def fresh_key() -> str:
    return f"{{m}}:pay:contract-{next(_keys)}"


async def test_one_holder(side: Side):
    key = fresh_key()
    assert await side.claims.take(key, "a") is True
    assert await side.claims.take(key, "b") is False
    assert await side.claims.take(key, "a") is False
    assert await side.claims.take(fresh_key(), "b") is True


async def test_one_of_many_at_once(side: Side):
    key = fresh_key()
    answers = await asyncio.gather(*(side.claims.take(key, f"t{n}") for n in range(50)))
    assert sorted(answers, key=str) == [False] * 49 + [True]


async def test_released_by_its_token_only(side: Side):
    key = fresh_key()
    await side.claims.take(key, "a")
    side.claims.release(key, "b")
    assert await side.claims.take(key, "b") is False
    side.claims.release(key, "a")
    assert await side.claims.take(key, "b") is True
    side.claims.release(key, "a")
    assert await side.claims.take(key, "c") is False


async def test_releasing_nothing_is_no_matter(side: Side):
    side.claims.release(fresh_key(), "a")


async def test_a_claim_grows_old(side: Side):
    key = fresh_key()
    await side.claims.take(key, "a")
    await side.expire(key)
    assert await side.claims.take(key, "b") is True
    side.claims.release(key, "a")  # late: it is somebody else's by now
    assert await side.claims.take(key, "c") is False


async def test_memory_that_is_gone_is_like_redis_that_is_gone():
    claims = MemoryClaims(HandClock())
    claims.reachable = False
    assert await claims.take("k", "a") is None
    claims.release("k", "a")
    claims.reachable = True
    assert await claims.take("k", "a") is True


async def test_no_claims_are_never_taken():
    assert await NoClaims().take("k", "a") is None
    NoClaims().release("k", "a")


# --- Redis away: counted at a door in front of it


@pytest.fixture
async def door(redis_session_url: str) -> AsyncIterator[tuple[Door, RedisClaims, HandClock]]:
    door, clock = Door(redis_session_url), HandClock()
    claims = RedisClaims(await door.open(), clock)
    await first_use(claims, clock)
    yield door, claims, clock
    await claims.close()
    await door.close()


async def test_silent_redis_is_skipped_and_then_left_alone(door):
    front, claims, clock = door
    front.silent = True
    key = fresh_key()
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(REDIS_FAILURES_MAX):
            assert await claims.take(key, "a") is None
        heard = front.heard
        for _ in range(20):
            assert await claims.take(key, "a") is None
            claims.release(key, "a")
    assert front.heard == heard >= 1  # not one byte while it rests
    front.silent = False
    clock.seconds += REDIS_REST_MS / 1000 - 0.001
    assert await claims.take(key, "a") is None
    clock.seconds += 0.002
    await first_use(claims, clock)


async def test_one_success_forgets_the_failures(door):
    front, claims, clock = door
    for _ in range(3):
        front.silent, claims._redis._timeout_s = True, REDIS_TIMEOUT_MS / 1000
        for _ in range(REDIS_FAILURES_MAX - 1):
            before = front.heard
            assert await claims.take(fresh_key(), "a") is None
            async with asyncio.timeout(PATIENCE_S):
                while front.heard == before:  # noqa: ASYNC110 - asked, so it does not rest; the door is not worth an event
                    await asyncio.sleep(0)
        front.silent, claims._redis._timeout_s = False, PATIENCE_MS / 1000
        await first_use(claims, clock)
        assert await claims.take(fresh_key(), "a") is True


async def test_nobody_listens():
    with reserved_port() as port:
        claims = RedisClaims(f"redis://127.0.0.1:{port}/0", HandClock())
        async with asyncio.timeout(PATIENCE_S):
            assert await claims.take("k", "a") is None
            claims.release("k", "a")
        assert await claims.state() == "down"
        await claims.close()

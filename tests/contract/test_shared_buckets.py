"""What the buckets that workers share promise, in memory and in Redis: never more than there is,
debts that are paid back, tokens that come back unused.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import redis.asyncio

from gateway.clock import SystemClock
from gateway.edge_limits import Rate
from gateway.http.rates import SharedBuckets
from gateway.storage.redis.rates import PREFIX, RedisBuckets
from loadtests.evil_redis import evil_redis
from tests.fakes.rates import MemoryBuckets

STILL = Rate(0.001, 10)  # hardly grows while a test runs
QUICK = Rate(100, 10)

_names = itertools.count(1)


@pytest.fixture(params=["memory", "redis"])
async def buckets(request: pytest.FixtureRequest) -> AsyncIterator[SharedBuckets]:
    if request.param == "memory":
        yield MemoryBuckets(time.monotonic)
        return
    kept = patient(request.getfixturevalue("redis_session_url"))
    yield kept
    await kept.close()


def patient(url: str) -> RedisBuckets:
    """On a busy machine 50 ms is not "away"."""
    return RedisBuckets(url, SystemClock(), timeout_ms=20_000)


def name() -> str:
    return f"create:key_{next(_names)}"


async def lent(buckets: SharedBuckets, of: str, used: int, wanted: int, rate: Rate = STILL) -> int:
    answers = await buckets.exchange([(of, rate, used, wanted)])  # type: ignore[list-item]
    assert answers is not None
    return answers[0]


async def test_a_bucket_lends_its_burst_and_no_more(buckets: SharedBuckets):
    key = name()
    assert await lent(buckets, key, 0, 7) == 7
    assert await lent(buckets, key, 0, 7) == 3
    assert await lent(buckets, key, 0, 7) == 0


async def test_what_was_used_without_asking_is_not_lent_again(buckets: SharedBuckets):
    key = name()
    assert await lent(buckets, key, 4, 0) == 0
    assert await lent(buckets, key, 4, 10) == 2


async def test_a_debt_is_paid_first_and_is_never_more_than_a_burst(buckets: SharedBuckets):
    key = name()
    assert await lent(buckets, key, 1_000, 5) == 0
    assert await lent(buckets, key, -STILL.burst, 5) == 0, "now it is empty"
    assert await lent(buckets, key, -3, 5) == 3


async def test_unused_tokens_come_back_and_fill_it_at_most(buckets: SharedBuckets):
    key = name()
    assert await lent(buckets, key, 0, 10) == 10
    assert await lent(buckets, key, -10, 0) == 0
    assert await lent(buckets, key, -10, 100) == 10


async def test_time_fills_it(buckets: SharedBuckets):
    key = name()
    assert await lent(buckets, key, 10, 0, QUICK) == 0
    async with asyncio.timeout(20):
        while not await lent(buckets, key, 0, 1, QUICK):
            pass


async def test_buckets_do_not_mix(buckets: SharedBuckets):
    first, second = name(), name()
    assert await buckets.exchange(
        [(first, STILL, 0, 4), (second, STILL, 8, 4), (first, STILL, 0, 8)]  # type: ignore[list-item]
    ) == [4, 2, 6]


async def test_a_full_bucket_leaves_redis(redis_session_url: str):
    buckets, key = patient(redis_session_url), name()
    await lent(buckets, key, 0, 1, QUICK)
    async with redis.asyncio.from_url(redis_session_url) as client:
        assert 0 < await client.pttl(PREFIX + key) <= 2_000
    await buckets.close()


async def test_a_redis_that_lost_its_scripts_is_told_them_again(redis_url: str):
    buckets, key = patient(redis_url), name()
    async with redis.asyncio.from_url(redis_url) as client:
        for left in (6, 2):
            await client.script_flush()
            assert await lent(buckets, key, 0, 4) == 4, left
    assert await lent(buckets, key, 0, 4) == 2
    await buckets.close()


class StoppedClock:
    def now(self) -> datetime:
        return datetime.fromtimestamp(0, UTC)

    def monotonic(self) -> float:
        return 0.0


async def test_a_redis_that_is_away_lends_nothing_and_says_so():
    buckets = RedisBuckets("redis://127.0.0.1:1/0", StoppedClock())
    assert await buckets.exchange([(name(), STILL, 3, 4)]) is None
    await buckets.close()


async def test_a_redis_that_grants_everything_is_believed_as_far_as_was_asked():
    async with evil_redis() as (url, seen):
        buckets = patient(url)
        assert await lent(buckets, name(), 0, 4) == 4
        assert seen[b"EVALSHA"]
        await buckets.close()

"""How often a key may ask: four workers and one bucket, on a clock of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.edge_limits import RATE_PEERS_MAX, RATE_SHARE_MIN, Rate
from gateway.http.rates import RateKind, Rates, SharedBuckets
from tests.fakes.rates import MemoryBuckets

RATE = Rate(20, 60)
WORKERS = 4
TICK_S = 0.005


class Town:
    """Workers that share one Redis; time passes when the test says so."""

    def __init__(self, *, workers: int = WORKERS, redis: bool = True, factor: int = 1) -> None:
        self.now = 100.0
        self.redis = MemoryBuckets(lambda: self.now)
        shared: SharedBuckets | None = self.redis if redis else None
        self.workers = [
            Rates(workers=workers, factor=factor, shared=shared, monotonic=lambda: self.now)
            for _ in range(workers)
        ]

    async def pass_time(self, seconds: float) -> None:
        """In ticks; each worker exchanges tokens in each, as it does in service."""
        for _ in range(round(seconds / TICK_S)):
            self.now += TICK_S
            for worker in self.workers:
                worker._look()
                if worker._asking and worker._shared is not None:
                    await worker._exchange(worker._shared)

    async def flood(self, seconds: float, *, workers: Sequence[int], per_s: float) -> int:
        """How many of so many requests a second, spread over those workers, were let in."""
        admitted, owed = 0, 0.0
        for _ in range(round(seconds / TICK_S)):
            owed += per_s * TICK_S
            while owed >= 1:
                owed -= 1
                place = workers[round(owed + admitted) % len(workers)]
                admitted += self.workers[place].take("key", RateKind.CREATE, RATE)
            await self.pass_time(TICK_S)
        return admitted


async def test_an_ordinary_till_never_hears_of_it() -> None:
    town = Town()
    for _ in range(300):
        assert town.workers[0].take("key", RateKind.CREATE, RATE)
        await town.pass_time(0.2)


async def test_one_connection_gets_the_whole_rate() -> None:
    """A till keeps one connection, so all its requests meet one worker."""
    town = Town()
    assert await town.flood(20, workers=[2], per_s=18) == pytest.approx(18 * 20, abs=2)


async def test_one_connection_gets_the_whole_burst() -> None:
    town = Town()
    admitted = 0
    for _ in range(100):  # a request a millisecond
        admitted += town.workers[0].take("key", RateKind.CREATE, RATE)
        town.now += 0.001
        if town.workers[0]._asking:
            await town.workers[0]._exchange(town.redis)
    assert admitted == pytest.approx(RATE.burst, rel=0.1)


@pytest.mark.parametrize("workers", [[0], [0, 1], [0, 1, 2, 3]])
async def test_a_flood_gets_the_rate_however_it_is_spread(workers: list[int]) -> None:
    town = Town()
    admitted = await town.flood(10, workers=workers, per_s=400)
    assert admitted == pytest.approx(RATE.burst + 10 * RATE.per_s, rel=0.1)


async def test_without_redis_each_worker_has_its_share() -> None:
    town = Town(redis=False)
    spread = await town.flood(10, workers=[0, 1, 2, 3], per_s=400)
    assert spread == pytest.approx(RATE.burst + 10 * RATE.per_s, rel=0.1)
    alone = Town(redis=False)
    share = (RATE.burst + 10 * RATE.per_s) / WORKERS
    assert await alone.flood(10, workers=[0], per_s=400) == pytest.approx(share, rel=0.1)


async def test_redis_that_goes_and_comes_changes_nothing() -> None:
    town = Town()
    admitted = 0
    for away in (False, True, False, True):
        town.redis.is_away = away
        admitted += await town.flood(5, workers=[0, 1, 2, 3], per_s=400)
    assert admitted == pytest.approx(RATE.burst + 20 * RATE.per_s, rel=0.1)


async def test_after_an_outage_a_till_is_not_silenced() -> None:
    """What was used meanwhile is told at once; the debt it makes is bounded."""
    town = Town()
    town.redis.is_away = True
    await town.flood(120, workers=[0, 1, 2, 3], per_s=400)
    town.redis.is_away = False
    await town.pass_time(1)
    await town.pass_time(2 * RATE.burst / RATE.per_s)
    assert town.workers[0].take("key", RateKind.CREATE, RATE)


async def test_what_is_lent_and_not_used_goes_back() -> None:
    town = Town()
    for _ in range(12):
        assert town.workers[0].take("key", RateKind.CREATE, RATE)
    await town.pass_time(TICK_S)
    assert town.workers[0]._of_keys["key", RateKind.CREATE].lent > 0
    await town.pass_time(10)
    admitted = await town.flood(0.1, workers=[1], per_s=5_000)
    assert admitted == pytest.approx(RATE.burst, rel=0.1), "the whole burst is there again"


async def test_kinds_keys_and_peers_do_not_share() -> None:
    rates = Town(workers=1, redis=False).workers[0]
    while rates.take("a", RateKind.CREATE, RATE):
        pass
    assert rates.take("a", RateKind.READ, RATE)
    assert rates.take("b", RateKind.CREATE, RATE)
    while rates.take_of_peer("10.0.0.1", RATE):
        pass
    assert not rates.has_for_peer("10.0.0.1")
    assert rates.has_for_peer("10.0.0.2")
    assert rates.take_of_peer("10.0.0.2", RATE)


async def test_on_a_host_of_many_workers_a_till_can_still_sell() -> None:
    rates = Town(workers=64, redis=False).workers[0]
    admitted = sum(rates.take("key", RateKind.CREATE, RATE) for _ in range(100))
    assert admitted == RATE_SHARE_MIN.burst


async def test_the_factor_raises_everything() -> None:
    rates = Town(workers=1, redis=False, factor=7).workers[0]
    assert sum(rates.take("key", RateKind.CREATE, RATE) for _ in range(1_000)) == 7 * RATE.burst


async def test_a_crowd_of_peers_is_forgotten_in_turn() -> None:
    town = Town(workers=1, redis=False)
    rates = town.workers[0]
    for n in range(RATE_PEERS_MAX + 10):
        rates.take_of_peer(f"peer-{n}", RATE)
    assert len(rates._of_peers) == RATE_PEERS_MAX
    assert "peer-0" not in rates._of_peers
    await town.pass_time(10)
    assert not rates._of_peers, "all are full again"


async def test_the_exchange_runs_by_itself() -> None:
    town = Town(workers=1)
    rates = town.workers[0]
    running = asyncio.create_task(rates.run())
    for _ in range(RATE.burst):
        rates.take("key", RateKind.CREATE, RATE)
    async with asyncio.timeout(10):
        while not town.redis.kept:  # noqa: ASYNC110 - the task tells nobody
            await asyncio.sleep(0.001)
    running.cancel()

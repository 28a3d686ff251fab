"""A flood of `/metrics` leaves payments alone: what costs the loop's time is rendered once for all
who ask, never twice at the same time, and at most once a second.
"""

import asyncio
import threading
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.edge_limits import METRICS_AGE_MS_MAX
from gateway.http import operations
from tests.world import Shop, shop

SCRAPERS = 16
SCRAPES_MIN = 200
PAYMENTS = 20


@pytest.fixture
async def counter(database: str) -> AsyncIterator[Shop]:
    async with shop(database) as opened:
        yield opened


class Renders:
    """Counts what it lets through, and how many were under way at once."""

    def __init__(self) -> None:
        self.count = self.at_once_max = self._under_way = 0
        self._lock, self._render = threading.Lock(), operations.exposition

    def __call__(self) -> bytes:
        with self._lock:
            self.count += 1
            self._under_way += 1
            self.at_once_max = max(self.at_once_max, self._under_way)
        try:
            return self._render()
        finally:
            with self._lock:
                self._under_way -= 1


async def test_a_flood_of_scrapes_is_rendered_once_a_second_and_payments_are_taken(
    counter: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    renders = Renders()
    monkeypatch.setattr(operations, "exposition", renders)
    loop, is_enough, scrapes = asyncio.get_running_loop(), asyncio.Event(), 0

    async def scrape(session: aiohttp.ClientSession) -> None:
        nonlocal scrapes
        while scrapes < SCRAPES_MIN or not is_enough.is_set():
            async with session.get(f"{counter.operations_url}/metrics") as answer:
                assert answer.status == 200
                assert b"tillgate_http_requests_total" in await answer.read()
            scrapes += 1

    began = loop.time()
    async with aiohttp.ClientSession() as session:
        scraping = [asyncio.create_task(scrape(session)) for _ in range(SCRAPERS)]
        paid = [await counter.pay(100 + n, method="cash") for n in range(PAYMENTS)]
        is_enough.set()
        await asyncio.gather(*scraping)
    lasted_ms = (loop.time() - began) * 1000
    assert [answer.document["status"] for answer in paid] == ["succeeded"] * PAYMENTS
    assert renders.at_once_max == 1
    assert renders.count <= 1 + lasted_ms / METRICS_AGE_MS_MAX, f"{scrapes} in {lasted_ms:.0f} ms"

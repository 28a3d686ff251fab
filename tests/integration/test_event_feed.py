"""`GET /v1/events` is complete in commit order, and so is what webhooks are told: two writers, the
first of which commits last.
"""

import asyncpg
import pytest

from gateway.storage.books.rows import open_arguments
from gateway.storage.books.statements import OPEN
from tests.contract.drawn import opening_of, paid_payment
from tests.world import Shop, shop


@pytest.fixture
async def house(database):
    async with shop(database, sweep=False, deliver=False) as opened:
        yield opened


async def test_a_reader_never_passes_a_writer_that_commits_last(house: Shop):
    assert (
        await house.office.call(
            "POST", "/v1/webhook-endpoints", {"url": "https://shop.example/"}, key="e1"
        )
    ).status == 201
    seen: list[str] = []
    cursor = ""

    async def read() -> int:
        nonlocal cursor
        page = (
            await house.office.call(
                "GET", "/v1/events?limit=2" + (f"&after={cursor}" if cursor else "")
            )
        ).document
        seen.extend(event["id"] for event in page["data"])
        cursor = page["next_cursor"] or ""
        return len(page["data"])

    await house.pay(100, method="cash")
    assert await read() == 1
    before = cursor
    slow = opening_of(paid_payment("SLOW", merchant=house.books.merchant_id))
    first = await asyncpg.connect(house.books.dsn)
    try:
        async with first.transaction():
            # Its place in the log is taken, its commit far away.
            assert await first.fetch(OPEN, *open_arguments([slow]))
            for n in range(3):
                assert (await house.pay(100 + n, method="cash")).status == 201
                assert (await read(), cursor) == (0, before)
            assert slow.events[0].id not in {
                each.event_id for each in await house.world.outbox.take(9, 0, 9)
            }
    finally:
        await first.close()
    assert await read() == 2
    assert seen[1] == slow.events[0].id
    while await read():
        pass
    written = [
        row["id"] for row in await house.rows("SELECT id FROM event WHERE public ORDER BY xid, seq")
    ]
    assert seen == written
    assert len(seen) == len(set(seen)) == 5
    queued = {row["event_id"] for row in await house.rows("SELECT event_id FROM outbox")}
    assert queued == set(seen)

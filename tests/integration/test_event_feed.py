"""`GET /v1/events` is complete in commit order, and so is what webhooks are told: two writers, the
first of which commits last.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from prometheus_client import REGISTRY

from gateway.cli.commands import checks
from gateway.storage.books.rows import open_arguments
from gateway.storage.books.statements import OPEN
from gateway.storage.registries.restored_log import RestoredLog
from gateway.workers.feed_watch import FeedWatch
from tests.adversity.house import until
from tests.contract.drawn import drawn_payment, opening_of, paid_payment
from tests.servers import as_owner, superuser_of
from tests.world import TESTER, Shop, shop


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
    # Of an event that is only recorded neither the feed nor a webhook tells.
    sent = opening_of(drawn_payment("SENT", merchant=house.books.merchant_id))
    assert [event.public for event in sent.events] == [False]
    first = await asyncpg.connect(house.books.dsn)
    try:
        async with first.transaction():
            # Its place in the log is taken, its commit far away.
            assert len(await first.fetch(OPEN, *open_arguments([slow, sent]))) == len((slow, sent))
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


LOGGED = """INSERT INTO event (merchant_id, id, object_id, version, type, public, data, at, xid)
VALUES ($1, $2, $2, 1, 'payment.succeeded', true, '{}', now(), $3::text::xid8)"""
# Both sides of each power of ten, written in another order than they are to be read in.
TRANSACTIONS = (100, 8, 9, 10, 11, 99, 101, 998, 999, 1_000, 1_001, 98)


async def test_every_event_once_in_commit_order_across_powers_of_ten(house: Shop):
    """Of two rows of one transaction the first comes first; a page may end between them."""
    await until_transaction(house, max(TRANSACTIONS) + 1)
    merchant = house.books.merchant_id
    for n in TRANSACTIONS:
        for part in ("a", "b"):
            await as_owner(house.books.dsn, LOGGED, merchant, f"evt_{n}{part}", str(n))
    expected = [f"evt_{n}{part}" for n in sorted(TRANSACTIONS) for part in ("a", "b")]
    for limit in (1, 2, 3, 5, 20, 100):
        assert await followed(house, limit) == expected


async def until_transaction(opened: Shop, number: int) -> None:
    """A young server has not counted so far yet."""
    connection = await asyncpg.connect(opened.books.dsn)
    try:
        while int(await connection.fetchval("SELECT pg_current_xact_id()::text")) < number:
            pass
    finally:
        await connection.close()


async def followed(opened: Shop, limit: int) -> list[str]:
    """What a follower from the beginning is shown."""
    seen: list[str] = []
    after = ""
    while True:
        asked = f"/v1/events?limit={limit}" + (f"&after={after}" if after else "")
        page = (await opened.office.call("GET", asked)).document
        seen += [event["id"] for event in page["data"]]
        after = page["next_cursor"]
        if not page["has_more"]:
            return seen


async def test_a_cursor_of_books_that_were_restored_is_refused(house: Shop):
    """The books may count their transactions from an earlier number again."""
    await house.pay(100, method="cash")
    before = (await house.office.call("GET", "/v1/events")).document["next_cursor"]
    assert (await house.office.call("GET", f"/v1/events?after={before}")).status == 200
    log = RestoredLog(house.world.store.pool, asked_by=TESTER)
    assert await log.begin(datetime.now(UTC) - timedelta(minutes=5), "a test")
    refused = await house.office.call("GET", f"/v1/events?after={before}")
    assert (refused.status, refused.document["code"]) == (409, "cursor_ahead")
    page = (await house.office.call("GET", "/v1/events")).document
    assert len(page["data"]) == 1, "the whole log once more"
    again = await house.office.call("GET", f"/v1/events?after={page['next_cursor']}")
    assert (again.status, again.document["data"]) == (200, [])
    assert await log.end("a test")
    assert (await house.office.call("GET", f"/v1/events?after={page['next_cursor']}")).ok


@pytest.mark.parametrize("cursor", ["9999999999999999999-1", "4000000000-7", "1700000000-1-1"])
async def test_a_cursor_ahead_of_the_books_is_refused(house: Shop, cursor: str):
    """Restored from a backup, and nobody said so: the follower must not wait for ever."""
    refused = await house.office.call("GET", f"/v1/events?after={cursor}")
    assert (refused.status, refused.document["code"]) == (409, "cursor_ahead")


@pytest.mark.parametrize("role", [str, superuser_of], ids=["own", "a person's"])
async def test_the_doctor_names_a_forgotten_transaction(
    house: Shop, monkeypatch: pytest.MonkeyPatch, role: Callable[[str], str]
):
    """As long as it is open no event is shown and no webhook is sent."""
    monkeypatch.setattr(checks, "WRITE_AGE_MAX", timedelta(0))
    # Others write, too, if only for a moment: the workers' signs of life.
    await until(lambda: is_silent(house))
    # Of the service's own role, and of a person's, whose sessions the service cannot see.
    forgotten = await asyncpg.connect(role(house.books.dsn))
    try:
        async with forgotten.transaction():
            await forgotten.execute("SELECT pg_current_xact_id()")
            await house.pay(100, method="cash")
            (words,) = await doctors_words(house, "events")
            (age,) = await house.rows("SELECT clock_timestamp() - max(at) AS least FROM event")
            await FeedWatch(house.world.store.waits).look()
            assert waited() >= age["least"].total_seconds() > 0
    finally:
        await forgotten.close()
    assert "events and webhooks wait for it" in words
    await until(lambda: waits_for_nothing(house))


async def is_silent(opened: Shop) -> bool:
    return await doctors_words(opened, "events") == []


async def waits_for_nothing(opened: Shop) -> bool:
    await FeedWatch(opened.world.store.waits).look()
    return waited() == 0


def waited() -> float:
    age = REGISTRY.get_sample_value("tillgate_events_wait_seconds")
    assert age is not None
    return age


async def doctors_words(opened: Shop, name: str) -> list[str]:
    found = await checks.examine(opened.books.settings)
    return [each.text for each in found if each.name == name]

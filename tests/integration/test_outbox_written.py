"""Outbox rows: written with the event, in its transaction, one for each endpoint that subscribes,
or not at all.
"""

import pkgutil
from importlib import import_module

import asyncpg
import pytest
from msgspec.structs import replace

from gateway import storage
from gateway.domain import outcomes as o
from gateway.domain.returning import refund_learned
from gateway.flow.ports import Stale, TenderTaken
from gateway.storage.books.rows import open_arguments
from gateway.storage.books.statements import APPLY, OPEN, OPEN_IN_ORDER
from tests.contract.drawn import (
    MERCHANT,
    SILENT,
    YES,
    after,
    asked_for,
    drawn_payment,
    later,
    occasion,
    opening_of,
    paid_payment,
    refund_change,
)
from tests.integration.outbox_world import OTHER_MERCHANT, OutboxWorld, outbox_world
from tests.world import TESTER


@pytest.fixture
async def world(database):
    async with outbox_world(database) as opened:
        yield opened


async def lived(world: OutboxWorld, order_no: str, **fields: object) -> None:
    """In doubt, proven not charged, paid after all, given back."""
    payment = drawn_payment(order_no, **fields)  # type: ignore[arg-type]
    await world.store.open(opening_of(payment))
    doubt = await world.applied(after(payment, SILENT))
    ended = await world.applied(
        after(doubt.payment, o.Closed(was_charged=None), "query", later(70), proof_passed=True)
    )
    late = await world.applied(after(ended.payment, YES, "query", later(80)))
    refund = asked_for(late)
    asked = refund_learned(
        late.payment, refund, o.RefundPending(channel_refund_no="R1"), occasion("refund", later(81))
    )
    assert asked is not None
    assert asked.refund is not None
    moving = replace(asked.refund, due_at=later(90))
    await world.applied(replace(asked, refund=moving))
    done = refund_learned(
        asked.payment,
        moving,
        o.RefundSucceeded(amount=moving.amount, channel_refund_no="R1"),
        occasion("refund", later(91)),
    )
    assert done is not None
    await world.applied(done)


LIFE = [
    "payment.in_doubt",
    "payment.failed",
    "payment.paid_late",
    "refund.processing",
    "refund.succeeded",
]


async def test_a_whole_life_is_one_event_and_one_row_an_endpoint_for_each_listed_status(
    world: OutboxWorld,
):
    everything, some = (
        await world.endpoint(),
        await world.endpoint("https://b.example/", "payment.paid_late", "refund.succeeded"),
    )
    foreign = await world.endpoint(merchant=OTHER_MERCHANT)
    await lived(world, "A1")
    public = [
        row["type"]
        for row in await world.rows("SELECT type FROM event WHERE public ORDER BY xid, seq")
    ]
    assert public == LIFE
    assert await world.queued(everything) == LIFE
    assert await world.queued(some) == ["payment.paid_late", "refund.succeeded"]
    assert await world.queued(foreign) == []
    silent = await world.rows(
        "SELECT count(*) AS n FROM outbox o JOIN event e ON e.id = o.event_id WHERE NOT e.public"
    )
    assert silent[0]["n"] == 0


async def test_event_and_row_are_of_one_transaction(world: OutboxWorld):
    await world.endpoint()
    await lived(world, "A1")
    await world.paid("A2")
    found = await world.rows(
        "SELECT e.xmin::text AS theirs, o.xmin::text AS ours "
        "FROM outbox o JOIN event e ON e.id = o.event_id"
    )
    assert len(found) == len(LIFE) + 1
    assert [row for row in found if row["theirs"] != row["ours"]] == []


async def test_what_loses_writes_neither(world: OutboxWorld):
    """A stale change, and an opening whose tender is taken."""
    endpoint = await world.endpoint()
    payment = drawn_payment("A1")
    await world.store.open(opening_of(payment))
    doubt = await world.applied(after(payment, SILENT))
    assert isinstance(await world.store.apply(after(payment, YES, at=later(9))), Stale)
    assert isinstance(await world.store.open(opening_of(paid_payment("A1"))), TenderTaken)
    assert await world.queued(endpoint) == ["payment.in_doubt"]
    assert await world.rows("SELECT id FROM event WHERE public") == [(doubt.events[0].id,)]


async def test_a_killed_transaction_leaves_neither(world: OutboxWorld):
    endpoint = await world.endpoint()
    connection = await asyncpg.connect(world.dsn)
    await connection.execute("BEGIN")
    await connection.fetch(OPEN, *open_arguments([opening_of(paid_payment("A1"))]))
    assert await connection.fetchval("SELECT count(*) FROM outbox") == 1
    await world.rows("SELECT pg_terminate_backend($1)", connection.get_server_pid())
    connection.terminate()
    await world.paid("A1")  # the same order: nothing of the first try holds it
    assert await world.queued(endpoint) == ["payment.succeeded"]
    assert len(await world.rows("SELECT 1 FROM event")) == 1


def test_whatever_writes_events_writes_outbox_rows():
    modules = [
        import_module(found.name)
        for found in pkgutil.walk_packages(storage.__path__, f"{storage.__name__}.")
    ]
    texts = {
        text
        for module in modules
        for text in vars(module).values()
        if isinstance(text, str) and "INSERT INTO event " in text
    }
    assert texts >= {OPEN, OPEN_IN_ORDER, APPLY}
    assert [text for text in texts if "INSERT INTO outbox " not in text] == []


@pytest.mark.parametrize("sql", [OPEN, OPEN_IN_ORDER], ids=["open", "open in order"])
async def test_a_batch_tells_each_merchant_its_own(world: OutboxWorld, sql: str):
    mine, theirs = await world.endpoint(), await world.endpoint(merchant=OTHER_MERCHANT)
    connection = await asyncpg.connect(world.dsn)
    openings = [
        opening_of(paid_payment(f"A{n}", merchant=merchant))
        for n in range(3)
        for merchant in (MERCHANT, OTHER_MERCHANT, "m3")
    ]
    await connection.fetch(sql, *open_arguments(openings))
    await connection.close()
    found = await world.rows(
        "SELECT endpoint_id, merchant_id, count(*) AS n FROM outbox GROUP BY 1, 2 ORDER BY 2"
    )
    assert [tuple(row) for row in found] == [(mine, MERCHANT, 3), (theirs, OTHER_MERCHANT, 3)]


async def test_a_disabled_endpoint_gets_no_rows_until_it_is_enabled(world: OutboxWorld):
    endpoint = await world.endpoint()
    await world.desk.disable(MERCHANT, endpoint, TESTER)
    await world.paid("A1")
    assert await world.queued(endpoint) == []
    await world.desk.enable(MERCHANT, endpoint, TESTER)
    await world.paid("A2")
    assert await world.queued(endpoint) == ["payment.succeeded"]


async def test_notify_url_takes_the_place_of_the_oldest_endpoint_of_its_origin(world: OutboxWorld):
    oldest, younger = (
        await world.endpoint("https://shop.example/hook"),
        await world.endpoint("https://shop.example/other"),
    )
    lookalike, other = (
        await world.endpoint("https://shop.example.evil.example/"),
        await world.endpoint("https://b.example/"),
    )
    await lived(world, "A1", notify_url="https://shop.example/till/7?x=1")
    found = await world.rows("SELECT endpoint_id, url, count(*) AS n FROM outbox GROUP BY 1, 2")
    assert {row["endpoint_id"]: (row["url"], row["n"]) for row in found} == {
        oldest: ("https://shop.example/till/7?x=1", len(LIFE)),
        younger: (None, len(LIFE)),
        lookalike: (None, len(LIFE)),
        other: (None, len(LIFE)),
    }
    longer = "https://shop.example.evil.example/till/7"  # begins as the origin of others does
    await world.paid("A3", notify_url=longer)
    found = await world.rows("SELECT endpoint_id FROM outbox WHERE url = $1", longer)
    assert [row["endpoint_id"] for row in found] == [lookalike]
    await world.desk.disable(MERCHANT, oldest, TESTER)
    await world.paid("A2", notify_url="https://shop.example/till/7?x=1")
    found = await world.rows(
        "SELECT endpoint_id FROM outbox WHERE url = $1 AND type = 'payment.succeeded'",
        "https://shop.example/till/7?x=1",
    )
    assert [row["endpoint_id"] for row in found] == [younger]
    taken = {
        each.endpoint_id: each.url
        for each in await world.outbox.take(10, 1_000, 9)
        if each.type == "payment.succeeded"
    }
    assert (
        taken.get(younger, "https://shop.example/till/7?x=1") == "https://shop.example/till/7?x=1"
    )


async def test_a_refund_asked_for_by_the_merchant_is_told_when_it_moves(world: OutboxWorld):
    endpoint = await world.endpoint()
    payment = paid_payment("A1", notify_url="https://shop.example/r")
    await world.store.open(opening_of(payment))
    reserved = await world.applied(refund_change(payment, "r1", 300))
    moved = refund_learned(
        reserved.payment,
        asked_for(reserved),
        o.RefundSucceeded(amount=300, channel_refund_no="R1"),
        occasion("refund", later(5)),
    )
    assert moved is not None
    await world.applied(moved)
    assert await world.queued(endpoint) == ["payment.succeeded", "refund.succeeded"]
    assert {row["url"] for row in await world.rows("SELECT url FROM outbox")} == {
        "https://shop.example/r"
    }

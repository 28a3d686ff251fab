"""The hot statements touch the rows they are about, however many others a merchant has, with plans
made while the tables were new.
"""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.domain.change import Change, payment_event
from gateway.domain.statuses import PaymentStatus
from gateway.flow.due import Places
from gateway.flow.lists import PaymentFilter, RefundFilter
from gateway.storage.books import due_work, event_feed, lists, outbox
from gateway.storage.books import payment_reader as reading
from gateway.storage.books.due_work import taking
from gateway.storage.books.rows import apply_arguments
from gateway.storage.books.statements import APPLY
from gateway.storage.connections import connect
from gateway.storage.registries import webhooks as endpoints
from tests.integration.outbox_world import LOGGED_TRY
from tests.world import Shop, shop

OTHERS = 240
YEAR = timedelta(days=365)
TOUCHED = 6


@pytest.fixture
async def busy(database: str):
    async with shop(database, sweep=False, deliver=False) as opened:
        await asyncio.gather(*(opened.pay(500, method="cash") for _ in range(OTHERS)))
        yield opened


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


async def looked_at(shop: Shop, sql: str, *arguments: object, writing: bool = False) -> int:
    """The most rows one node took from a table of ours, kept or filtered out."""
    connection = await connect(shop.books.dsn, writing=writing)
    try:
        row = await connection.fetchrow(
            f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", *arguments
        )
    finally:
        await connection.close()
    assert row is not None
    scans = [
        node
        for node in nodes(json.loads(row[0])[0]["Plan"])
        if "Relation Name" in node and "Scan" in node["Node Type"]
    ]
    assert scans, "the statement reads no table"
    return max(
        int(node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)))
        for node in scans
    )


async def some(shop: Shop) -> list[Any]:
    page = await shop.office.payments(limit=TOUCHED)
    found = [
        await shop.world.store.payment(shop.books.merchant_id, each["id"])
        for each in page.document["data"]
    ]
    assert len(found) == TOUCHED
    return found


async def test_a_batch_of_changes_touches_its_rows_only(busy: Shop):
    now = busy.world.clock.now()
    after = [replace(payment, version=payment.version + 1) for payment in await some(busy)]
    changes = [
        Change(
            payment=payment, events=(payment_event(payment, was=PaymentStatus.SUCCEEDED, at=now),)
        )
        for payment in after
    ]
    assert await looked_at(busy, APPLY, *apply_arguments(changes), writing=True) <= TOUCHED


@pytest.mark.parametrize(
    "sql", ["BY_ID", "BY_KEY", "BY_TRADE", "HOLDER", "HIGHEST_N", "HOLDERS", "NEWER", "REFUNDS_OF"]
)
async def test_a_read_touches_its_rows_only(busy: Shop, sql: str):
    payment = (await some(busy))[0]
    merchant = payment.merchant_id
    arguments: dict[str, tuple[object, ...]] = {
        "BY_ID": (merchant, payment.id),
        "BY_KEY": (*reading.beside(payment), f"key-{payment.order_no}"),
        "BY_TRADE": (payment.current.channel_account, payment.current.out_trade_no),
        "HOLDER": (*reading.beside(payment), payment.order_no, payment.tender_no),
        "HIGHEST_N": (*reading.beside(payment), payment.order_no, payment.tender_no),
        "HOLDERS": (*reading.beside(payment), payment.order_no),
        "NEWER": ([merchant], [payment.id], [0]),
        "REFUNDS_OF": (merchant, payment.id),
    }
    assert await looked_at(busy, getattr(reading, sql), *arguments[sql]) <= 1


@pytest.mark.parametrize(
    "asked",
    [
        {"store_id": "quiet"},
        {"order_no": "own"},
        {"out_trade_no": "own"},
        {"channel_trade_no": "own"},
        {"limit": TOUCHED},
        {"limit": TOUCHED, "store_id": "store_1", "method": "cash"},
    ],
    ids=str,
)
async def test_a_list_touches_its_rows_only(busy: Shop, asked: dict[str, Any]):
    """Till of a quiet store or a customer's number: the merchant's other rows are not walked."""
    payment = (await some(busy))[0]
    own = {"order_no": payment.order_no, "out_trade_no": payment.current.out_trade_no}
    given = {
        name: own.get(name, "9" * 28) if said == "own" else said for name, said in asked.items()
    }
    wanted = PaymentFilter(**({"limit": 100, "since": payment.created_at - YEAR} | given))
    sql, *arguments = lists.payments_sql(payment.merchant_id, wanted)
    # One more tells whether there are more, and one more of the same moment would be sorted by id.
    assert await looked_at(busy, sql, *arguments) <= TOUCHED + 2


async def test_a_list_of_refunds_of_a_quiet_store_touches_nothing(busy: Shop):
    wanted = RefundFilter(limit=100, store_id="quiet")
    sql, *arguments = lists.refunds_sql(busy.books.merchant_id, wanted)
    assert await looked_at(busy, sql, *arguments) == 0


@pytest.mark.parametrize("after", ["0", "9"])
async def test_a_page_of_events_touches_its_rows_only(busy: Shop, after: str):
    """Far behind too: the index is in the feed's order, so nothing behind the page is sorted."""
    merchant = busy.books.merchant_id
    assert await looked_at(busy, event_feed.FEED, merchant, after, 0, TOUCHED) <= TOUCHED


@pytest.fixture
async def told(busy: Shop):
    """Two endpoints told of every payment, one with hundreds of rows behind it, one with none."""
    for n in range(2):
        if n:
            await asyncio.gather(*(busy.pay(500, method="cash") for _ in range(OTHERS)))
        answer = await busy.office.call(
            "POST", "/v1/webhook-endpoints", {"url": f"https://h{n}.example/"}, key=f"e{n}"
        )
        assert answer.status == 201
    return busy


async def test_a_batch_that_is_told_touches_its_rows_and_the_endpoints(told: Shop):
    now = told.world.clock.now()
    after = [replace(payment, version=payment.version + 1) for payment in await some(told)]
    changes = [
        Change(
            payment=replace(payment, notify_url="https://h1.example/x"),
            events=(
                replace(payment_event(payment, was=PaymentStatus.IN_DOUBT, at=now), public=True),
            ),
        )
        for payment in after
    ]
    assert await looked_at(told, APPLY, *apply_arguments(changes), writing=True) <= 3 * TOUCHED
    assert len(await told.rows("SELECT 1 FROM outbox WHERE url IS NOT NULL")) == TOUCHED


async def test_leasing_touches_what_it_leases_and_one_row_an_endpoint(told: Shop):
    connection = await connect(told.books.dsn)
    try:
        async with connection.transaction():
            taken = await connection.fetch(
                outbox.TAKE, TOUCHED, timedelta(seconds=60), TOUCHED, TOUCHED
            )
            (looked,) = await connection.fetch(
                "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int AS n, "
                "max(seq_scan) AS scans FROM pg_stat_xact_user_tables"
            )
    finally:
        await connection.close()
    assert len(taken) == 4  # the endpoint's own bound
    assert looked["n"] <= 12 * TOUCHED
    assert looked["scans"] == 0


@pytest.mark.parametrize("sql", ["DELIVERED", "POSTPONED", "GIVEN_UP"])
async def test_noting_an_answer_touches_one_row(told: Shop, sql: str):
    delivery = (await told.world.outbox.take(1, 60_000, 1))[0]
    more = (timedelta(seconds=9),) if sql == "POSTPONED" else ()
    asked = (
        delivery.merchant_id,
        delivery.endpoint_id,
        delivery.event_id,
        delivery.tries,
        *LOGGED_TRY,
        *more,
    )
    assert await looked_at(told, getattr(outbox, sql), *asked) <= 1


async def test_a_page_of_deliveries_touches_its_rows_only(told: Shop):
    (first, _) = (await told.office.call("GET", "/v1/webhook-endpoints")).document["data"]
    asked = (told.books.merchant_id, first["id"], None, None, None, TOUCHED)
    assert await looked_at(told, endpoints.DELIVERIES, *asked) <= TOUCHED + 1


async def test_taking_due_work_reads_what_may_be_visited(busy: Shop):
    """However many of a hanging account are due, and with its places taken none of them."""
    await busy.rows(
        "UPDATE attempt SET due_at = now() - interval '1 hour' WHERE merchant_id = $1",
        busy.books.merchant_id,
    )
    account = busy.books.accounts["cash"]
    more = (timedelta(seconds=2), timedelta(seconds=5))
    full = taking(Places(256, 16, {account: 16}), 15_000)
    # The hops over the accounts.
    assert await looked_at(busy, due_work.TAKE_ATTEMPTS, *full, *more) <= 2
    assert (
        await looked_at(busy, due_work.TAKE_ATTEMPTS, *taking(Places(256, 16), 15_000), *more) <= 16
    )


async def test_a_look_touches_one_attempt(busy: Shop):
    payment = (await some(busy))[0]
    assert (
        await looked_at(
            busy, due_work.HASTEN, payment.merchant_id, payment.id, timedelta(seconds=15)
        )
        <= 1
    )

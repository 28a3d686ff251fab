"""The hot statements touch the rows they are about, however many others a merchant has, with plans made while the tables were new."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.domain.change import Change, payment_event
from gateway.storage import payment_reader as reading
from gateway.storage.connections import connect
from gateway.storage.rows import apply_arguments
from gateway.storage.statements import APPLY
from tests.world import Shop, shop

OTHERS = 240
TOUCHED = 6


@pytest.fixture
async def busy(database: str):
    async with shop(database, sweep=False) as opened:
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
        row = await connection.fetchrow(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", *arguments)
    finally:
        await connection.close()
    assert row is not None
    scans = [node for node in nodes(json.loads(row[0])[0]["Plan"]) if "Relation Name" in node and "Scan" in node["Node Type"]]
    assert scans, "the statement reads no table"
    return max(int(node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))) for node in scans)


async def some(shop: Shop) -> list[Any]:
    page = await shop.office.payments(limit=TOUCHED)
    found = [await shop.world.store.payment(shop.books.merchant_id, each["id"]) for each in page.document["data"]]
    assert len(found) == TOUCHED
    return found


async def test_a_batch_of_changes_touches_its_rows_only(busy: Shop):
    now = busy.world.clock.now()
    after = [replace(payment, version=payment.version + 1) for payment in await some(busy)]
    changes = [Change(payment=payment, events=(payment_event(payment, was="succeeded", at=now),)) for payment in after]
    assert await looked_at(busy, APPLY, *apply_arguments(changes), writing=True) <= TOUCHED


@pytest.mark.parametrize("sql", ["BY_ID", "BY_KEY", "BY_TRADE", "HOLDER", "VERSIONS", "REFUNDS_OF"])
async def test_a_read_touches_its_rows_only(busy: Shop, sql: str):
    payment = (await some(busy))[0]
    merchant = payment.merchant_id
    arguments: dict[str, tuple[object, ...]] = {
        "BY_ID": (merchant, payment.id),
        "BY_KEY": (merchant, f"key-{payment.order_no}"),
        "BY_TRADE": (payment.current.channel_account, payment.current.out_trade_no),
        "HOLDER": (merchant, payment.order_no, payment.tender_no),
        "VERSIONS": ([merchant], [payment.id]),
        "REFUNDS_OF": (merchant, payment.id),
    }
    assert await looked_at(busy, getattr(reading, sql), *arguments[sql]) <= 1

"""Several tenders of one order through the whole gateway: they never exceed its amount, and a plain
first tender overlooks none.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from gateway.flow.ports import Opened, OrderSplit
from gateway.storage.postgres import PostgresStore
from tests.contract.drawn import drawn_payment, opening_of
from tests.contract.split_order import of
from tests.servers import DatabaseServer
from tests.world import Shop, order_no, shop


@pytest.fixture
async def counter(database: str) -> AsyncIterator[Shop]:
    async with shop(database) as opened:
        yield opened


async def cash(
    at: Shop, order: str, tender_no: int, amount: int, key: str | None = None, **body: Any
) -> Any:
    return await at.pay(
        amount,
        order_no=order,
        tender_no=tender_no,
        method="cash",
        key=key or f"{order}/{tender_no}",
        **body,
    )


async def test_two_tenders_pay_one_bill_and_never_more(counter: Shop):
    order = order_no()
    assert (await cash(counter, order, 1, 600, order_amount=1000)).status == 201
    over = await cash(counter, order, 2, 401, order_amount=1000)
    assert (over.status, over.document["code"], over.document["verdict"]["code"]) == (
        409,
        "order_overpaid",
        "fix_and_try",
    )
    assert (over.document["detail"], over.document["detail_zh"]) == (
        "other tenders take 6.00 of the order's 10.00: 4.00 is left",
        "订单总额 10.00 元，其他收款已占 6.00 元，还可收 4.00 元，未发起收款",
    )
    assert "payment" not in over.document
    assert over.document["order"] == {
        "object": "order",
        "order_no": order,
        "currency": "CNY",
        "amount": 1000,
        "amount_taken": 600,
        "amount_left": 400,
    }
    rest = await cash(counter, order, 2, 400)  # the same key: what was refused did not use it up
    assert (rest.status, rest.document["status"]) == (201, "succeeded"), rest.document


async def test_the_bills_total_is_fixed(counter: Shop):
    order = order_no()
    await cash(counter, order, 2, 600, order_amount=1000)
    other = await cash(counter, order, 1, 100, order_amount=1001)
    assert (other.status, other.document["code"], other.document["field"]) == (
        422,
        "field_invalid",
        "order_amount",
    )
    assert other.document["verdict"]["code"] == "fix_and_try"


async def test_a_refund_gives_room(counter: Shop):
    order = order_no()
    paid = (await cash(counter, order, 1, 1000, order_amount=1000)).document
    await counter.till.refund(
        paid["id"], {"refund_no": f"r-{order}", "amount": 300, "reason": ""}, f"rk-{order}"
    )
    assert (await cash(counter, order, 2, 301, key=f"{order}/a")).document[
        "code"
    ] == "order_overpaid"
    assert (await cash(counter, order, 2, 300, key=f"{order}/b")).status == 201


async def test_a_plain_first_tender_meets_what_others_said(counter: Shop):
    order = order_no()
    await cash(counter, order, 2, 600, order_amount=1000)
    assert (await cash(counter, order, 1, 401)).document["code"] == "order_overpaid"
    assert (await cash(counter, order, 1, 400, key=f"{order}/1b")).status == 201


async def test_tills_that_race_for_one_bill_never_exceed_it(counter: Shop):
    order = order_no()
    amount_said = [{"order_amount": 1000}, {"order_amount": 1000}, {}]
    asked = [
        cash(counter, order, n, 300, key=f"{order}/{n}/{i}", **said)
        for n in (1, 2, 3, 4, 5, 6)
        for i, said in enumerate(amount_said)
    ]
    answers = await asyncio.gather(*asked)
    taken = [answer.document for answer in answers if answer.status == 201]
    assert len(taken) == 3, [answer.document.get("code") for answer in answers]
    assert {answer.document["code"] for answer in answers if answer.status != 201} <= {
        "order_overpaid",
        "order_used",
    }
    rows = await counter.rows(
        "SELECT sum(amount)::int AS s FROM payment WHERE order_no = $1 AND status = 'succeeded'",
        order,
    )
    assert rows[0]["s"] == 900


async def test_the_same_key_with_another_total_is_another_body(counter: Shop):
    order = order_no()
    await cash(counter, order, 1, 600, order_amount=1000)
    other = await cash(counter, order, 1, 600, order_amount=2000)
    assert (other.status, other.document["code"], other.document["field"]) == (
        422,
        "idempotency_key_reused",
        "order_amount",
    )
    again = await cash(counter, order, 1, 600, order_amount=1000)
    assert again.status == 200


# --- what the lock is for


async def test_an_opening_older_than_the_split_does_not_overlook_it(postgres: DatabaseServer):
    """A statement whose snapshot is from before the order was split asks with a new one."""
    dsn = await postgres.fresh_database()
    store, gate, reader = (
        await PostgresStore.connected(dsn),
        await asyncpg.connect(dsn),
        await asyncpg.connect(dsn),
    )
    try:
        await gate.execute("SELECT pg_advisory_lock(77)")
        held = (
            "WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock(77)) "
            "SELECT s.order_no FROM gate, LATERAL split_in_store($1) s"
        )
        claims = json.dumps(
            [{"merchant_id": "m1", "store_id": "s1", "order_no": order} for order in ("A1", "B2")]
        )
        asking = asyncio.create_task(reader.fetch(held, claims))
        while not await gate.fetchval(  # noqa: ASYNC110
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        ):
            await asyncio.sleep(0)
        assert (
            await store.open_in_order(opening_of(drawn_payment(tender_no=2)), of(1500)) == Opened()
        )
        await gate.execute("SELECT pg_advisory_unlock(77)")
        assert [row["order_no"] for row in await asking] == ["A1"]
        assert await store.open(opening_of(drawn_payment())) == OrderSplit()
    finally:
        await store.close()
        await gate.close()
        await reader.close()
        await postgres.give_back(dsn)


async def test_a_batch_does_not_wait_behind_an_order_that_is_being_split(postgres: DatabaseServer):
    dsn = await postgres.fresh_database()
    store, splitter = await PostgresStore.connected(dsn), await asyncpg.connect(dsn)
    try:
        async with splitter.transaction():
            await splitter.execute(
                "SELECT pg_advisory_xact_lock(hashtext('tillgate.order'), order_lock('m1', 'A1'))"
            )
            assert await store.open(opening_of(drawn_payment("A1"))) == OrderSplit()
            assert await store.open(opening_of(drawn_payment("B2"))) == Opened()
        # Whoever meant to split it gave up.
        assert await store.open(opening_of(drawn_payment("A1"))) == Opened()
    finally:
        await store.close()
        await splitter.close()
        await postgres.give_back(dsn)

"""A till looks at a payment that is in phase 2: the channel is asked at once, and not oftener than
it may be.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from gateway.limits import SWEEP_LEASE_MS
from gateway.workers.sweeper import Sweeper
from tests.sandbox_process import SandboxProcess
from tests.wallet_codes import code
from tests.world import Shop, order_no, shop


@pytest.mark.parametrize("way", ["GET", "the same POST again"])
async def test_fault_14_a_look_in_phase_2_settles_it(
    database: str, sandbox: SandboxProcess, way: str
):
    async with shop(database, sandbox=sandbox, sweep=False) as opened:
        order, scanned = order_no(), code("alipay")
        payment_id = await an_hour_from_the_next_visit(opened, order, scanned)
        if way == "GET":
            looked = await opened.till.payment(payment_id)
        else:
            looked = await opened.pay(
                900, order_no=order, auth_code=scanned, method="alipay", wait_s=0
            )
        assert (looked.document["id"], looked.document["status"]) == (payment_id, "in_doubt"), (
            "the till did not wait for it"
        )
        stop, world = asyncio.Event(), opened.world
        sweeping = asyncio.create_task(Sweeper(world.store, world.in_doubt, world.clock).run(stop))
        assert (await opened.settled(payment_id))["status"] == "succeeded"
        stop.set()
        await sweeping


async def test_many_looks_are_one_question(database: str, sandbox: SandboxProcess):
    async with shop(database, sandbox=sandbox, sweep=False) as opened:
        payment_id = await an_hour_from_the_next_visit(opened, order_no(), code("alipay"))
        store, merchant = opened.world.store, opened.books.merchant_id
        await store.hasten(merchant, payment_id, SWEEP_LEASE_MS)

        first = await due_in(opened, payment_id)
        assert first <= timedelta(0)
        await opened.rows(
            "UPDATE attempt SET visited_at = now(), due_at = now() + interval '15 s' "
            "WHERE payment_id = $1",
            payment_id,
        )
        for _ in range(20):
            await opened.till.payment(payment_id)
        await opened.world.in_flight.close()
        assert await due_in(opened, payment_id) > timedelta(seconds=5), (
            "a visit is under way: nobody else is sent"
        )


async def an_hour_from_the_next_visit(opened: Shop, order: str, scanned: str) -> str:
    """Charged, the answer lost; and the books as they stand when query
    and cancel have failed for long.
    """
    await opened.sandbox.arm(
        "alipay", "callback", "callback_hold", account=opened.books.accounts["alipay"]
    )
    await opened.sandbox.arm(
        "alipay", "pay", "drop_after_charge", account=opened.books.accounts["alipay"], times=1
    )
    paid = await opened.pay(900, order_no=order, auth_code=scanned, method="alipay", wait_s=0)
    payment_id: str = paid.document["id"]
    await opened.world.in_flight.close()
    hour = "now() + interval '1 hour'"
    old = "now() - interval '1 minute'"
    sql = f"UPDATE attempt SET due_at = {hour}, visited_at = {old} WHERE payment_id = $1"
    await opened.rows(sql, payment_id)
    return payment_id


async def due_in(opened: Shop, payment_id: str) -> Any:
    found = await opened.rows(
        "SELECT due_at - clock_timestamp() AS left FROM attempt WHERE payment_id = $1", payment_id
    )
    return found[0]["left"]

"""The sweeper and the worker's heart when others hang: a full pool, a loop that stood still, an
account that says nothing.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg

from gateway.domain.errors import GatewayError
from gateway.flow.ports import Opened
from gateway.limits import HEARTBEAT_LEASE_MS, READ_CONNECTIONS_MAX
from tests.adversity.house import until
from tests.contract.drawn import drawn_payment, opening_of
from tests.patience import PATIENCE_S
from tests.sandbox_process import SandboxProcess
from tests.wallet_codes import code
from tests.world import Shop, order_no, shop

HANGING = 200
# Payments of the healthy account; more in a row would open its breaker, and its payments would not
# be sent at all.
LOST = 1


async def test_fault_08_a_worker_beats_while_every_reader_waits(database: str):
    async with shop(database, sweep=False) as opened:
        store = opened.world.store
        waiting = [asyncio.create_task(blocked(opened)) for _ in range(2 * READ_CONNECTIONS_MAX)]
        await until(lambda: sleeping(opened))
        seen = {await beat_at(opened)}
        async with asyncio.timeout(PATIENCE_S):
            while len(seen) < 4:
                await asyncio.sleep(0.05)
                seen.add(await beat_at(opened))
                assert store.pool.get_idle_size() == 0, "the pool was full all the while"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def blocked(opened: Shop) -> None:
    """Reads that end by their bound, one after the other."""
    while True:
        with suppress(GatewayError):
            await opened.rows("SELECT pg_sleep(4)")


async def sleeping(opened: Shop) -> bool:
    found = await beside(
        opened,
        "SELECT count(*) AS n FROM pg_stat_activity "
        "WHERE query LIKE 'SELECT pg_sleep(4)%' AND state = 'active'",
    )
    return bool(found["n"] == READ_CONNECTIONS_MAX)


async def beat_at(opened: Shop) -> Any:
    return (
        await beside(opened, f"SELECT beat_at FROM worker WHERE id = '{opened.world.worker_id}'")
    )["beat_at"]


async def beside(opened: Shop, sql: str) -> Any:
    """Over a connection that is nobody's."""
    connection = await asyncpg.connect(opened.books.dsn)
    try:
        return await connection.fetchrow(sql)
    finally:
        await connection.close()


async def test_fault_03_a_loop_that_stood_still_past_its_lease_sends_nothing(
    database: str, sandbox: SandboxProcess
):
    """Between write 1 and the send.

    The attempt ends with the proof that nothing left (P0), or the sweeper finds nothing there.
    """
    async with shop(database, sandbox=sandbox) as opened:
        store, open_really = opened.world.store, opened.world.store.open

        async def stood_still(opening: Any) -> Any:
            answer = await open_really(opening)
            time.sleep(HEARTBEAT_LEASE_MS / 1000 + 0.2)  # noqa: ASYNC251 - that is the fault
            return answer

        store.open = stood_still  # type: ignore[method-assign]
        paid = await opened.pay(900, auth_code=code("alipay"))
        store.open = open_really  # type: ignore[method-assign]
        ended = await opened.settled(paid.document["id"])
        assert ended["status"] == "failed", ended
        first = await opened.rows(
            "SELECT out_trade_no FROM attempt WHERE payment_id = $1 AND number = 1", ended["id"]
        )
        assert first[0]["out_trade_no"] not in await opened.captured("alipay")


async def test_fault_38_an_account_that_hangs_leaves_the_sweeper_to_the_others(
    database: str, sandbox: SandboxProcess
):
    """More of one account in doubt than the sweeper has places in a look;
    the other account's settle meanwhile.
    """
    async with shop(database, sandbox=sandbox) as opened:
        alipay, wechat = (opened.books.accounts[channel] for channel in ("alipay", "wechat"))
        await sandbox.arm("alipay", "query", "delay_before", account=alipay, delay_ms=4_000)
        await asyncio.gather(*(left_by_the_dead(opened, alipay) for _ in range(HANGING)))
        await sandbox.arm("wechat", "callback", "callback_hold", account=wechat)
        await sandbox.arm("wechat", "pay", "drop_after_charge", account=wechat, times=LOST)
        lost = [await opened.pay(600, auth_code=code("wechat"), wait_s=0) for _ in range(LOST)]
        assert [answer.status for answer in lost] == [201] * LOST, lost
        settled = await asyncio.gather(*(opened.settled(answer.document["id"]) for answer in lost))
        assert {payment["status"] for payment in settled} == {"succeeded"}
        left = await opened.rows(
            "SELECT count(*) AS n FROM attempt WHERE channel_account = $1 AND due_at IS NOT NULL",
            alipay,
        )
        assert left[0]["n"] > HANGING / 2, "the others did not wait for it"
        await sandbox.disarm()


async def left_by_the_dead(opened: Shop, account: str) -> None:
    """A payment whose worker died a minute ago, right after write 1."""
    attempt = {"channel": "alipay", "channel_account": account, "worker_id": "wrk_dead"}
    at = opened.world.clock.now() - timedelta(seconds=60)
    payment = drawn_payment(
        order_no(),
        merchant=opened.books.merchant_id,
        attempt=attempt,
        created_at=at,
        channel="alipay",
    )
    assert await opened.world.store.open(opening_of(payment)) == Opened()

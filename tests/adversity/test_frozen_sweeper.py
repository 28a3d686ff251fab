"""Two sweepers, one frozen with a cancel or a refund in its hand: the other finishes, and who wakes
up neither sends nor writes.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.cli.dev.children import Child
from tests.adversity.house import House, accepted, house, until
from tests.fault_proxy import FaultProxy, Trap, fault_proxy
from tests.patience import PATIENCE_S
from tests.sandbox_process import SandboxProcess
from tests.wallet_codes import code

APPLY = "UPDATE payment p SET"


async def test_fault_37_a_frozen_sweeper_keeps_its_cancel(
    database: str, sandbox: SandboxProcess, tmp_path: Any
):
    """Frozen when `cancelling` is durable and the cancel has not left."""
    async with (
        fault_proxy(database) as proxy,
        house(database, sandbox, tmp_path, run=("serve",)) as shop,
    ):
        await sweep_behind(shop, proxy)
        trap = proxy.hold_reply(APPLY)
        payment = accepted(await shop.pay(700, auth_code=code("alipay", "04"), wait_s=0))
        assert (await shop.till.cancel(payment["id"], wait_s=0)).status == 200
        durable = "SELECT FROM attempt WHERE payment_id = $1 AND status = 'cancelling'"
        await freeze_after(shop, proxy, trap, lambda: written(shop, durable, payment["id"]))
        frozen = shop._children.pop("work")
        try:
            await shop.start("work")
            ended = await shop.settled(payment["id"])
            assert ended["status"] == "canceled"
            await wakes_up_to_nothing(shop, frozen, "cancel")
        finally:
            await let_go(frozen)
        assert await shop.audit() == []


async def test_fault_37_a_frozen_sweeper_keeps_its_refund(
    database: str, sandbox: SandboxProcess, tmp_path: Any
):
    """Frozen when the channel has said that it knows no such refund, before that is sent again
    under its number.
    """
    async with (
        fault_proxy(database) as proxy,
        house(database, sandbox, tmp_path, run=("serve",)) as shop,
    ):
        await sweep_behind(shop, proxy)
        paid = accepted(await shop.pay(1_000, auth_code=code("alipay"), wait_s=10))
        trap = proxy.hold_reply(APPLY)
        await shop.sandbox.arm(
            "alipay", "refund", "drop_before", account=shop.books.accounts["alipay"], times=1
        )
        body = {"refund_no": "R1", "amount": 400, "reason": "cold soup"}
        refund = accepted(await shop.till.refund(paid["id"], body, "refund-R1", wait_s=0))
        asked = "SELECT FROM refund WHERE id = $1 AND evidence::text LIKE '%RefundNotFound%'"
        await freeze_after(shop, proxy, trap, lambda: written(shop, asked, refund["id"]))
        frozen = shop._children.pop("work")
        try:
            await shop.start("work")
            ended = await shop.refund_settled(refund["id"])
            assert ended["status"] == "succeeded"
            await wakes_up_to_nothing(shop, frozen, "refund")
        finally:
            await let_go(frozen)
        assert await shop.audit() == []


async def sweep_behind(shop: House, proxy: FaultProxy) -> None:
    """`work` alone goes through the proxy. It works before a payment exists: a process takes long
    to start, and a payer who types has not got long.
    """
    direct = shop.environment["TILLGATE_DATABASE_URL"]
    shop.environment["TILLGATE_DATABASE_URL"] = proxy.dsn
    await shop.start("work")
    shop.environment["TILLGATE_DATABASE_URL"] = direct
    await until(lambda: beat(shop, 2))


async def freeze_after(
    shop: House, proxy: FaultProxy, trap: Trap, holds: Callable[[], Awaitable[bool]]
) -> None:
    """`work` is frozen between the first write after which `holds` is true and the word of it."""
    trap = await the_right_one(proxy, trap, holds)
    shop._children["work"].process.send_signal(signal.SIGSTOP)
    trap.release.set()


async def the_right_one(
    proxy: FaultProxy, trap: Trap, holds: Callable[[], Awaitable[bool]]
) -> Trap:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await trap.sprung.wait()
            if await holds():
                return trap
            following = proxy.hold_reply(APPLY)
            trap.release.set()
            trap = following


async def written(shop: House, sql: str, subject: str) -> bool:
    return bool(await shop.rows(sql, subject))


async def wakes_up_to_nothing(shop: House, frozen: Child, operation: str) -> None:
    """Nothing is sent: no such call reaches the channel.

    Nothing is written: not one more line in the log.
    """
    trades, log = await shop.sandbox.ledger(), await shop.rows("SELECT count(*) FROM event")
    tripwire = await shop.sandbox.arm(
        "alipay", operation, "delay_before", account=shop.books.accounts["alipay"], delay_ms=10
    )
    frozen.process.send_signal(signal.SIGCONT)
    await until(lambda: beat(shop, 3))
    await frozen.stop()  # drained: every visit it had begun is over
    assert not await shop._has_fired(tripwire["id"])
    assert await shop.sandbox.ledger() == trades
    assert await shop.rows("SELECT count(*) FROM event") == log


async def beat(shop: House, processes: int) -> bool:
    """So many: `serve`'s worker, and one sweeper or two."""
    found = await shop.rows(
        "SELECT count(*) AS n FROM worker WHERE beat_at > clock_timestamp() - interval '1 second'"
    )
    return bool(found[0]["n"] == processes)


async def let_go(frozen: Child) -> None:
    """It has ended already, unless the test failed."""
    if frozen.process.returncode is None:
        frozen.process.send_signal(signal.SIGCONT)
        await frozen.stop()

"""SIGSTOP past the lease, SIGCONT after the sweeper has settled: the one that wakes up neither
sends nor writes what is no longer true.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from tests.adversity.house import House, accepted, house, until
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.sandbox_process import SandboxProcess
from tests.wallet_codes import code
from tests.world import order_no


async def test_fault_02_a_worker_wakes_up_after_its_lease(
    database: str, sandbox: SandboxProcess, tmp_path: Any
):
    """Three payments of one worker: sent and answered while it slept, refused while it slept, and
    committed but not yet sent.
    """
    async with (
        fault_proxy(database) as proxy,
        house(database, sandbox, tmp_path, run=("work",)) as shop,
    ):
        # `serve` alone goes through the proxy.
        shop.environment["TILLGATE_DATABASE_URL"] = proxy.dsn
        await shop.start("serve")
        answered = await held_at_the_channel(shop, "00")
        refused = await held_at_the_channel(shop, "01")
        order = order_no()
        unsent = await held_before_sending(shop, proxy, order)
        shop.signal_worker(signal.SIGSTOP)
        settled = [
            await settled_in_the_books(shop, payment_id)
            for payment_id in (answered, refused, unsent)
        ]
        assert [row["status"] for row in settled] == ["succeeded", "failed", "failed"]
        trades = await shop.sandbox.ledger()
        shop.signal_worker(signal.SIGCONT)
        await shop.ready()
        await shop.drain("serve")  # every road of the worker that woke up has ended
        assert [
            await settled_in_the_books(shop, payment_id)
            for payment_id in (answered, refused, unsent)
        ] == settled, "nothing was written"
        assert await shop.sandbox.ledger() == trades, "nothing was sent"
        assert await shop.audit() == []
        await shop.start("serve")
        again = accepted(
            await shop.pay(900, order_no=order, key=order, method="alipay", auth_code=UNSENT)
        )
        assert (again["id"], again["status"]) == (unsent, "failed"), (
            "the same key shows what became of it"
        )


UNSENT = code("alipay")


async def held_at_the_channel(shop: House, ending: str) -> str:
    """Its answer is under way for longer than we stay awake."""
    fault = await shop.sandbox.arm(
        "alipay",
        "pay",
        "delay_after",
        account=shop.books.accounts["alipay"],
        times=1,
        delay_ms=4_000,
    )
    payment = accepted(await shop.pay(900, auth_code=code("alipay", ending)))
    await shop.fired(fault["id"])
    payment_id: str = payment["id"]
    return payment_id


async def held_before_sending(shop: House, proxy: FaultProxy, order: str) -> str:
    """Write 1 is committed, and the word of it is under way."""
    trap = proxy.hold_reply("INSERT INTO claim")
    tapping = asyncio.create_task(
        shop.pay(900, order_no=order, key=order, method="alipay", auth_code=UNSENT)
    )
    await trap.sprung.wait()
    shop.signal_worker(signal.SIGSTOP)
    trap.release.set()
    tapping.cancel()
    found = await shop.rows("SELECT id FROM payment WHERE order_no = $1", order)
    payment_id: str = found[0]["id"]
    return payment_id


async def settled_in_the_books(shop: House, payment_id: str) -> dict[str, Any]:
    """Read past the gateway: nobody there is awake."""

    async def final() -> bool:
        return (await row(shop, payment_id))["status"] in (
            "succeeded",
            "failed",
            "expired",
            "canceled",
        )

    await until(final)
    return await row(shop, payment_id)


async def row(shop: House, payment_id: str) -> dict[str, Any]:
    found = await shop.rows("SELECT id, status, version FROM payment WHERE id = $1", payment_id)
    return dict(found[0])

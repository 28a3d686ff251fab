"""Fault 26: hosts whose wall clocks are wrong or jump.

Signatures, visits, leases and the business day follow the database's clock.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.composition import gateway
from gateway.workers.sweeper import Sweeper
from tests.sandbox_process import SandboxProcess
from tests.wallet_codes import code
from tests.world import Shop, shop

MINUTES_10 = 600.0
DAY = 86_400.0


class WrongHost(SystemClock):
    """Its wall clock is `ahead_s` off; its monotonic one is right, as they are."""

    def __init__(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s)


@pytest.mark.parametrize("ahead_s", [-MINUTES_10, MINUTES_10, DAY])
async def test_fault_26_signatures_visits_and_business_day(
    database: str, sandbox: SandboxProcess, ahead_s: float
):
    """Tills and channels know the time; the gateway's host does not.

    The clock jumps to the other side half-way.
    """
    host = WrongHost(ahead_s)
    async with shop(database, sandbox=sandbox, host_clock=host) as opened:
        for channel in ("alipay", "wechat"):
            paid = await opened.pay(700, auth_code=code(channel), wait_s=10)
            assert (paid.status, paid.document["status"]) == (201, "succeeded"), paid
            assert paid.document["business_date"] == await business_date(opened)
            host.ahead_s = -host.ahead_s
        for channel in ("alipay", "wechat"):
            await sandbox.arm(
                channel, "pay", "drop_after_charge", account=opened.books.accounts[channel], times=1
            )
            await sandbox.arm(
                channel, "callback", "callback_hold", account=opened.books.accounts[channel]
            )
            lost = await opened.pay(800, auth_code=code(channel))
            # Within seconds, not minutes.
            assert (await opened.settled(lost.document["id"]))["status"] == "succeeded"
            host.ahead_s = -host.ahead_s
        written = await opened.rows(
            "SELECT max(abs(extract(epoch FROM clock_timestamp() - at))) AS off FROM event"
        )
        assert written[0]["off"] < MINUTES_10 / 2, "what was written is dated by the database"


@pytest.mark.parametrize("ahead_s", [-MINUTES_10, MINUTES_10])
async def test_fault_26_a_sweeper_on_a_wrong_host_neither_steals_nor_sleeps(
    database: str, sandbox: SandboxProcess, ahead_s: float
):
    async with (
        shop(database, sandbox=sandbox, sweep=False) as opened,
        gateway(opened.books.settings, WrongHost(ahead_s)) as other,
    ):
        stop = asyncio.Event()
        sweeping = asyncio.create_task(Sweeper(other.store, other.in_doubt, other.clock).run(stop))
        try:
            slow = await opened.pay(
                900, auth_code=await answered_late(opened, "delay_after"), wait_s=10
            )
            assert slow.document["status"] == "succeeded"
            assert await epoch(opened, slow.document["id"]) == 1, (
                "a worker that lives keeps its attempt"
            )
            lost = await opened.pay(900, auth_code=await answered_late(opened, "drop_after_charge"))
            assert (await opened.settled(lost.document["id"]))["status"] == "succeeded"
        finally:
            stop.set()
            await sweeping


async def answered_late(opened: Shop, hold: str) -> str:
    """A payment code whose pay call is held longer than a heartbeat lease, or never answered."""
    await opened.sandbox.arm(
        "alipay", "callback", "callback_hold", account=opened.books.accounts["alipay"]
    )
    await opened.sandbox.arm(
        "alipay", "pay", hold, account=opened.books.accounts["alipay"], times=1, delay_ms=2_500
    )
    return code("alipay")


async def epoch(opened: Shop, payment_id: str) -> Any:
    return (await opened.rows("SELECT epoch FROM attempt WHERE payment_id = $1", payment_id))[0][
        "epoch"
    ]


async def business_date(opened: Shop) -> str:
    found = await opened.rows(
        "SELECT (clock_timestamp() AT TIME ZONE 'Asia/Shanghai')::date AS day"
    )
    return str(found[0]["day"])

"""Processes that die, hang or leave: a blocked event loop, a deploy in the middle of a payment, a
till that hangs up.

kill -9 at chosen moments: `test_faults_kill`; at random ones: `test_random_kills`; SIGSTOP past the
lease: `test_frozen_worker`. The kernel's out-of-memory killer sends SIGKILL: for everybody else it
is a kill -9.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.cli.client.client import Answer, Client
from gateway.cli.dev.children import start_child
from gateway.http.app import build_app
from gateway.http.serving import DRAINING, LEAVING
from gateway.service import edge
from tests.adversity.house import House, accepted, house, until
from tests.fault_proxy import fault_proxy
from tests.sandbox_process import SandboxProcess
from tests.wallet_codes import code
from tests.world import Shop, order_no, shop

SILENCE_S = 0.5  # a blocked worker is silent for as long as we look


async def test_fault_03_a_blocked_event_loop_is_unhealthy_and_others_finish(
    database: str, sandbox: SandboxProcess, tmp_path: Path
):
    """Blocked past its lease with a charge under way: no health check is answered, the sweeper
    settles, and it wakes up to nothing.
    """
    held = tmp_path / "held"
    async with house(database, sandbox, tmp_path, run=("work",), BLOCKED_WHILE=str(held)) as here:
        await start_blockable(here)
        # It would settle before the answer.
        await sandbox.arm(
            "alipay", "callback", "callback_hold", account=here.books.accounts["alipay"]
        )
        fault = await sandbox.arm(
            "alipay",
            "pay",
            "delay_after",
            account=here.books.accounts["alipay"],
            times=1,
            delay_ms=3_000,
        )
        payment = accepted(await here.pay(900, auth_code=code("alipay")))
        await here.fired(fault["id"])
        held.touch()
        here.signal_worker(signal.SIGUSR2)
        assert await until_silent(here, "/healthz"), "the orchestrator sees it"
        order = order_no()
        tapping = asyncio.create_task(
            here.pay(500, order_no=order, key=order, auth_code=code("alipay"))
        )
        await until(lambda: has_settled(here, payment["id"]))
        settled = await version_of(here, payment["id"])
        assert not tapping.done(), "no new work"
        held.unlink()
        assert accepted(await tapping)["order_no"] == order, "who waited in the backlog is served"
        await here.drain("serve")
        assert await version_of(here, payment["id"]) == settled, (
            "what it had in its hands was true before it woke up"
        )
        said = await here.rows("SELECT queries FROM attempt WHERE payment_id = $1", payment["id"])
        assert [row["queries"] > 0 for row in said] == [True], "settled by the sweeper"
        await until(lambda: agree(here))


async def start_blockable(here: House) -> None:
    arguments = [
        "tests.adversity.blockable",
        "serve",
        "--workers",
        "1",
        "--end-with-parent",
        str(os.getpid()),
    ]
    here._children["serve"] = await start_child(
        "serve", arguments, here.environment, here.folder / "serve.log"
    )
    await here.ready()


async def until_silent(here: House, path: str) -> bool:
    async def silent() -> bool:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SILENCE_S)) as session:
            try:
                async with session.get(f"{here.base_url}{path}") as answer:
                    return answer.status >= 500
            except TimeoutError:
                return True

    await until(silent)
    return True


async def has_settled(here: House, payment_id: str) -> bool:
    return bool((await version_of(here, payment_id))[0] == "succeeded")


async def version_of(here: House, payment_id: str) -> tuple[str, int]:
    """Read past the gateway."""
    row = (await here.rows("SELECT status, version FROM payment WHERE id = $1", payment_id))[0]
    return row["status"], row["version"]


async def agree(here: House) -> bool:
    violations = await here.audit()
    return len(violations) == 0


# --- fault 4: the till hangs up


async def served_with_cancellation(opened: Shop, stack: contextlib.AsyncExitStack) -> Client:
    """The same gateway once more, on a server that cancels handlers whose client has left."""
    app = build_app(await stack.enter_async_context(edge(opened.world, opened.books.settings)))
    app[LEAVING] = app[DRAINING] = asyncio.Event()
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    return await stack.enter_async_context(
        Client(f"http://127.0.0.1:{port}", *opened.books.terminal)
    )


@pytest.mark.parametrize("handler_cancellation", [False, True])
async def test_fault_04_a_till_that_hangs_up_changes_nothing(
    database: str, sandbox: SandboxProcess, handler_cancellation: bool
):
    """While the channel thinks, and while write 1 commits.

    Ours never cancels a handler; were it to, nothing would be lost or doubled.
    """
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(fault_proxy(database))
        opened = await stack.enter_async_context(shop(proxy.dsn, sandbox=sandbox))
        till = (
            await served_with_cancellation(opened, stack) if handler_cancellation else opened.till
        )
        account = opened.books.accounts["alipay"]
        fault = await sandbox.arm(
            "alipay", "pay", "delay_after", account=account, times=1, delay_ms=1_500
        )
        asked, tap = tapped(till)
        await until(lambda: has_fired(sandbox, fault["id"]))
        await hung_up(asked)
        paid = await opened.settled(
            (await opened.till.pay(tap, tap["order_no"], wait_s=0)).document["id"]
        )
        queries = await opened.rows("SELECT queries FROM attempt WHERE payment_id = $1", paid["id"])
        assert (paid["status"], [row["queries"] for row in queries]) == ("succeeded", [0]), (
            "its own road went on to the end"
        )
        trap = proxy.hold_reply("INSERT INTO claim")
        asked, tap = tapped(till)
        await trap.sprung.wait()
        await hung_up(asked)
        trap.release.set()
        again = await opened.till.pay(tap, tap["order_no"], wait_s=0)
        assert (again.status, again.replayed) == (200, True), "the key is bound to what was written"
        ended = await opened.settled(again.document["id"])
        assert ended["status"] == ("failed" if handler_cancellation else "succeeded"), (
            "never sent, or sent by the process"
        )
        assert (ended["out_trade_no"] in await opened.captured("alipay")) is (
            ended["status"] == "succeeded"
        )


def tapped(till: Client) -> tuple[asyncio.Task[Answer], dict[str, Any]]:
    order = order_no()
    tap = {"order_no": order, "amount": 900, "auth_code": code("alipay")}
    return asyncio.create_task(till.pay(tap, order, wait_s=10)), tap


async def hung_up(asked: asyncio.Task[Answer]) -> None:
    """The client closes its connection: nobody waits for the answer."""
    assert not asked.done()
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asked


async def has_fired(sandbox: SandboxProcess, fault_id: int) -> bool:
    return any(row["id"] == fault_id and row["fired"] for row in await sandbox.faults())


# --- fault 5: a deploy


async def test_fault_05_a_deploy_in_mid_payment_finishes_what_it_carries(
    database: str, sandbox: SandboxProcess, tmp_path: Path
):
    """SIGTERM while the channel thinks, and nobody else who could finish: the till is answered,
    write 2 is made, then the process ends.
    """
    async with house(database, sandbox, tmp_path, run=("serve",)) as here:
        fault = await sandbox.arm(
            "alipay",
            "pay",
            "delay_after",
            account=here.books.accounts["alipay"],
            times=2,
            delay_ms=1_500,
        )
        waiting = [
            asyncio.create_task(here.pay(900, auth_code=code("alipay"), wait_s=20))
            for _ in range(2)
        ]
        await until(lambda: has_fired_twice(sandbox, fault["id"]))
        await here.drain("serve")
        for answer in await asyncio.gather(*waiting):
            payment = accepted(answer)
            assert payment["verdict"]["code"] in ("wait", "paid"), payment
            assert (await version_of(here, payment["id"]))[0] == "succeeded"
        assert await here.audit() == []


async def has_fired_twice(sandbox: SandboxProcess, fault_id: int) -> bool:
    return any(row["id"] == fault_id and row["fired"] == 2 for row in await sandbox.faults())


async def test_fault_05_a_rolling_restart_fails_no_payment(
    database: str, sandbox: SandboxProcess, tmp_path: Path
):
    """SIGHUP under load: the successor serves before the old worker drains,
    and no tap is refused or lost.
    """
    async with house(database, sandbox, tmp_path, run=("serve",)) as here:
        old, stop = workers(here), asyncio.Event()
        tills = [asyncio.create_task(lunch(here, stop)) for _ in range(3)]
        os.kill(here._children["serve"].process.pid, signal.SIGHUP)
        await until(lambda: is_replaced(here, old))
        stop.set()
        assert sum(await asyncio.gather(*tills)) > 0
        assert await here.audit() == []


async def lunch(here: House, stop: asyncio.Event) -> int:
    paid = 0
    while not stop.is_set():
        assert accepted(await here.pay(100, method="cash"))["status"] == "succeeded"
        paid += 1
    return paid


def workers(here: House) -> set[str]:
    parent = here._children["serve"].process.pid
    return set(Path(f"/proc/{parent}/task/{parent}/children").read_text().split())


async def is_replaced(here: House, old: set[str]) -> bool:
    now = workers(here)
    return bool(now) and not now & old

"""kill -9 where it hurts: between the row and the answer, in the middle of a cancel, between a
refund and its answer.

Whoever dies, somebody finishes: every payment ends, and the gateway's books agree with the
channel's own, row by row.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.limits import CALL_TIMEOUT_MS
from tests.adversity.house import House, accepted, house, until
from tests.sandbox_process import SandboxProcess, SandboxRefusedError
from tests.servers import DatabaseServer
from tests.wallet_codes import code

WAYS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "alipay code": ("alipay", "pay", {"flow": "code"}),
    "wechat code": ("wechat", "pay", {"flow": "code"}),
    "alipay qr": ("alipay", "precreate", {"flow": "qr", "method": "alipay"}),
}
HOLDS = ("delay_before", "delay_after", "drop_after_charge")
# As long as a call may take, and half a second less: a kill comes long before.
HELD_MS = CALL_TIMEOUT_MS - 500


@pytest.fixture(scope="module")
async def shop(
    postgres: DatabaseServer,
    redis_session_url: str,
    sandbox: SandboxProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[House]:
    """One for the module: whatever a test kills stands again at its end."""
    dsn = await postgres.fresh_database()
    async with house(
        dsn, sandbox, tmp_path_factory.mktemp("kill"), redis_url=redis_session_url
    ) as opened:
        yield opened
    await postgres.give_back(dsn)


@pytest.fixture(autouse=True)
async def _standing(shop: House) -> None:
    """What a failed test left dead lives again."""
    if not shop.runs("work"):
        await shop.start("work")


async def test_fault_01_worker_dies_between_the_row_and_the_answer(shop: House):
    """Three ways to pay, each held in three ways; one kill for all nine."""
    paid: dict[tuple[str, str], dict[str, Any]] = {}
    for way, (channel, operation, body) in WAYS.items():
        for hold in HOLDS:
            fault = await shop.sandbox.arm(
                channel,
                operation,
                hold,
                account=shop.books.accounts[channel],
                times=1,
                delay_ms=3_000,
            )
            scanned = {"auth_code": code(channel)} if body["flow"] == "code" else {}
            paid[way, hold] = accepted(await shop.pay(1_000, **(body | scanned)))
            await shop.fired(fault["id"])
    shop.signal_worker(signal.SIGKILL)
    codes = [payment["out_trade_no"] for (way, _), payment in paid.items() if way == "alipay qr"]
    await asyncio.gather(*(until(partial(customer_pays, shop, number)) for number in codes))
    ended = {case: await shop.settled(payment["id"]) for case, payment in paid.items()}
    for (way, hold), payment in ended.items():
        trade = await shop.trade(payment["out_trade_no"])
        assert trade is not None
        assert (payment["status"] == "succeeded") == (trade["state"] == "charged"), (
            way,
            hold,
            payment,
            trade,
        )
        if hold != "delay_before":  # executed before the kill, so the first query finds it
            assert payment["status"] == "succeeded", (way, hold, payment)
    await until(lambda: agree(shop))


async def customer_pays(shop: House, number: str) -> bool:
    """True once the channel has the code: nobody showed it to the diner, but somebody may have
    photographed the other screen.
    """
    try:
        await shop.sandbox.pay(number)
    except SandboxRefusedError:
        return False
    return True


@pytest.mark.parametrize("hold", ["delay_before", "delay_after"])
async def test_fault_01_work_dies_in_the_middle_of_a_cancel(shop: House, hold: str):
    """One kill for both channels; every cancel is held, since an impatient sweeper repeats it."""
    payments = []
    for channel, operation in (("wechat", "reverse"), ("alipay", "cancel")):
        payment = accepted(await shop.pay(700, auth_code=code(channel, "04")))
        fault = await shop.sandbox.arm(
            channel, operation, hold, account=shop.books.accounts[channel], delay_ms=HELD_MS
        )
        assert (await shop.till.cancel(payment["id"], wait_s=0)).status == 200
        await shop.fired(fault["id"])
        payments.append(payment["id"])
    await shop.kill("work")
    await shop.sandbox.disarm()
    for payment_id in payments:
        durable = await shop.rows("SELECT status FROM attempt WHERE payment_id = $1", payment_id)
        assert [row["status"] for row in durable] == ["cancelling"], (
            "durable before the cancel leaves"
        )
    await shop.start("work")
    for payment_id in payments:
        ended = await shop.settled(payment_id)
        assert (ended["status"], ended["failure"]["code"]) == ("canceled", "canceled"), ended
        trade = await shop.trade(ended["out_trade_no"])
        assert trade is not None
        assert trade["state"] in ("closed", "reversed")
    await until(lambda: agree(shop))


async def test_fault_01_worker_dies_between_a_refund_and_its_answer(shop: House):
    """Executed after the death, executed before it, never executed: each once at the channel, under
    the number fixed before.
    """
    asked: dict[tuple[str, str], str] = {}
    for channel in ("alipay", "wechat"):
        for hold in ("delay_before", "delay_after", "drop_before"):
            paid = accepted(await shop.pay(1_000, auth_code=code(channel), wait_s=10))
            assert paid["status"] == "succeeded", paid
            fault = await shop.sandbox.arm(
                channel,
                "refund",
                hold,
                account=shop.books.accounts[channel],
                times=1,
                delay_ms=2_500,
            )
            body = {"refund_no": f"{channel}-{hold}", "amount": 400, "reason": "cold soup"}
            refund = accepted(
                await shop.till.refund(paid["id"], body, f"refund-{channel}-{hold}", wait_s=0)
            )
            asked[channel, hold] = refund["id"]
            await shop.fired(fault["id"])
    shop.signal_worker(signal.SIGKILL)
    for case, refund_id in asked.items():
        refund_now = await shop.refund_settled(refund_id)
        assert refund_now["status"] == "succeeded", (case, refund_now)
        again = await shop.office.payment(refund_now["payment_id"])
        assert again.document["amount_refunded"] == 400, case
    await until(lambda: agree(shop))


async def test_fault_01_worker_dies_between_a_callback_and_its_effect(shop: House):
    """Stored and not applied is not acknowledged:
    the channel sends it again, and nobody has to ask.
    """
    await shop.kill("work")
    payment = accepted(await shop.pay(600, method="alipay", flow="qr", wait_s=10))
    other = await asyncpg.connect(shop.books.dsn)
    try:
        async with other.transaction():
            await other.execute("SELECT FROM payment WHERE id = $1 FOR UPDATE", payment["id"])
            await shop.sandbox.pay(payment["out_trade_no"])
            await until(lambda: is_stored(shop, payment["out_trade_no"]))
            shop.signal_worker(signal.SIGKILL)
    finally:
        await other.close()
    assert (await shop.settled(payment["id"]))["status"] == "succeeded"
    await shop.start("work")
    await until(lambda: agree(shop))


async def test_row_08_a_crash_found_sent_is_asked_about_and_cancelled_and_never_moves(
    database: str, sandbox: SandboxProcess, tmp_path: Path
):
    """With a backup account standing by: one that was charged is found by a query; where no query
    is answered, a cancel ends it.
    """
    async with house(database, sandbox, tmp_path, extra_accounts={"alipay": 1}) as here:
        account = here.books.accounts["alipay"]
        sent = {}
        for hold in ("delay_after", "delay_before"):
            fault = await sandbox.arm(
                "alipay", "pay", hold, account=account, times=1, delay_ms=2_500
            )
            sent[hold] = accepted(await here.pay(900, auth_code=code("alipay")))
            await here.fired(fault["id"])
        await sandbox.arm("alipay", "callback", "drop_before", account=account)
        here.signal_worker(signal.SIGKILL)
        found = await here.settled(sent["delay_after"]["id"])
        await sandbox.arm("alipay", "query", "http_500_before", account=account)
        ended = await here.settled(sent["delay_before"]["id"])
        assert (found["status"], ended["status"] in ("failed", "succeeded")) == (
            "succeeded",
            True,
        ), (found, ended)
        for payment in (found, ended):
            assert [attempt["channel_account"] for attempt in payment["attempts"]] == [account], (
                payment
            )
        assert await sandbox.ledger("alipay", here.books.accounts["alipay_2"]) == []
        await sandbox.disarm()
        await until(lambda: agree(here))


async def is_stored(shop: House, out_trade_no: str) -> bool:
    return bool(
        await shop.rows(
            "SELECT FROM callback WHERE out_trade_no = $1 AND applied_at IS NULL", out_trade_no
        )
    )


async def agree(shop: House) -> bool:
    violations = await shop.audit()
    return len(violations) == 0

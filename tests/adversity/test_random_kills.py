"""Tills at lunch while somebody kills: random payments, faults, cancels and refunds, random kill -9
of the worker and of `work`.

Liveness is asked for only after the killing stops; the audit then compares everything. PROOF_SCALE
makes it longer and adds the payments whose proof takes a minute.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
from contextlib import suppress
from typing import Any

from tests.adversity.house import SCALE, House, unbroken
from tests.sandbox_process import SandboxRefusedError
from tests.wallet_codes import code
from tests.world import order_no

PAYMENTS = 48 * SCALE
TILLS = 6
# An unsent WeChat code is proven after 30 s, an unsent QR code after 63 s.
SETTLE_S = 40 if SCALE == 1 else 120
METHODS = (
    ("alipay", "alipay", "cash")
    if SCALE == 1
    else ("alipay", "wechat", "alipay qr", "wechat qr", "cash")
)
ENDINGS = ("00", "00", "00", "01", "03", "05")
FAULTS = (
    ("pay", "drop_after_charge", 0.1),
    ("pay", "delay_before", 0.1),
    ("pay", "delay_after", 0.1),
    ("query", "http_500_before", 0.2),
    ("cancel", "drop_after_charge", 0.2),
    ("reverse", "drop_after_charge", 0.2),
    ("refund", "delay_after", 0.3),
    ("refund", "drop_after_charge", 0.3),
    ("callback", "callback_duplicate", 0.2),
)
UNSETTLED = """SELECT
(SELECT count(*) FROM payment WHERE status IN ('processing', 'awaiting_payer', 'in_doubt'))
+ (SELECT count(*) FROM refund WHERE status IN ('requested', 'processing', 'in_doubt'))
+ (SELECT count(*) FROM callback WHERE applied_at IS NULL) AS n"""


async def test_fault_01_lunch_under_random_kills(processes: House):
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    await arm(processes, chance)
    tills = [
        asyncio.create_task(lunch(processes, random.Random(chance.random()), PAYMENTS // TILLS))
        for _ in range(TILLS)
    ]
    killing = asyncio.create_task(kill_and_kill(processes, random.Random(chance.random())))
    try:
        await asyncio.gather(*tills)
    finally:
        killing.cancel()
        with suppress(asyncio.CancelledError):
            await killing
    fired = {
        f"{row['channel']} {row['operation']} {row['fault']}": row["fired"]
        for row in await processes.sandbox.disarm()
    }
    await processes.ready()
    await settle(processes)
    assert await processes.audit() == [], f"seed {seed}"
    counts = await processes.rows(
        "SELECT status, count(*) AS n FROM payment GROUP BY status ORDER BY status"
    )
    print(f"killed {killed}, ended {[tuple(row) for row in counts]}, faults {fired}")  # noqa: T201 - what was proven, with -s


killed: dict[str, int] = {"serve": 0, "work": 0}


async def arm(processes: House, chance: random.Random) -> None:
    for channel in ("alipay", "wechat"):
        for operation, fault, probability in FAULTS:
            with suppress(SandboxRefusedError):  # an operation or a fault that this channel has not
                await processes.sandbox.arm(
                    channel,
                    operation,
                    fault,
                    account=processes.books.accounts[channel],
                    probability=probability,
                    delay_ms=chance.randrange(100, 900),
                    seed=chance.getrandbits(31),
                )


async def lunch(processes: House, chance: random.Random, payments: int) -> None:
    """One till: it taps, taps again when nothing came back, at times cancels, at times refunds."""
    for _ in range(payments):
        tap = drawn(chance)
        payment = await tapped(processes, tap)
        if "qr" in tap and chance.random() < 0.8:
            with suppress(SandboxRefusedError):
                await processes.sandbox.pay(payment["out_trade_no"])
        match chance.random():
            case number if number < 0.2:
                await unbroken(processes.till.cancel(payment["id"], wait_s=0))
            case number if number < 0.5 and payment["status"] == "succeeded":
                body = {
                    "refund_no": f"R-{payment['order_no']}",
                    "amount": chance.randrange(1, payment["amount"] + 1),
                    "reason": "cold soup",
                }
                await unbroken(
                    processes.till.refund(
                        payment["id"], body, f"refund-{payment['order_no']}", wait_s=0
                    )
                )
            case _:
                await asyncio.sleep(chance.random() * 0.2)


def drawn(chance: random.Random) -> dict[str, Any]:
    method, _, flow = chance.choice(METHODS).partition(" ")
    body: dict[str, Any] = {
        "order_no": order_no(),
        "amount": chance.randrange(1, 100_000),
        "method": method,
    }
    if flow:
        return body | {"flow": flow, "expires_in": 60}
    return body if method == "cash" else body | {"auth_code": code(method, chance.choice(ENDINGS))}


async def tapped(processes: House, tap: dict[str, Any], within_s: float = 60) -> dict[str, Any]:
    """The same key until somebody answers: what a till does."""
    async with asyncio.timeout(within_s):
        while True:
            answer = await processes.pay(wait_s=1, **tap)
            if answer is not None and answer.ok:
                document: dict[str, Any] = answer.document
                return document
            assert answer is None or answer.status == 503, answer
            await asyncio.sleep(0.05)


async def kill_and_kill(processes: House, chance: random.Random) -> None:
    while True:
        await asyncio.sleep(0.2 + chance.random())
        if chance.random() < 0.7 and processes.worker_pid() is not None:
            processes.signal_worker(signal.SIGKILL)
            killed["serve"] += 1
            await processes.ready()
        else:
            await processes.kill("work")
            await processes.start("work")
            killed["work"] += 1


async def settle(processes: House) -> None:
    async with asyncio.timeout(SETTLE_S):
        while (await processes.rows(UNSETTLED))[0]["n"]:  # noqa: ASYNC110 - the other side is another process
            await asyncio.sleep(0.2)

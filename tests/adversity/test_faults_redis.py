"""Redis dead, slow, emptied, started anew, or granting every lock:
the gateway is slower and still right.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import redis.asyncio

from gateway.embedded.redis import EmbeddedRedis
from loadtests.audit import audit
from loadtests.evil_redis import evil_redis
from tests.adversity.house import taken, until
from tests.sandbox_process import SandboxProcess
from tests.servers import temporary_root
from tests.wallet_codes import code
from tests.world import Shop, order_no, shop

NEVER_AGAIN = ("paid", "already_paid", "wait", "do_not_charge_again")


@contextmanager
def mortal_redis() -> Iterator[EmbeddedRedis]:
    """A Redis of its own that keeps nothing."""
    with temporary_root() as root:
        server = EmbeddedRedis(root / "redis", durable=False)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def pid_of(server: EmbeddedRedis) -> int:
    return int(Path(server.pid_file).read_text())


async def test_fault_11_payments_outlive_redis(database: str, sandbox: SandboxProcess):
    """Emptied while payments run, full, frozen, killed, and back with nothing: every payment works,
    double taps charge once.
    """
    with mortal_redis() as server:
        async with shop(database, redis_url=server.url, sandbox=sandbox) as opened:
            await until(lambda: is_redis(opened, "up"))
            async with redis.asyncio.from_url(server.url) as other:
                await asyncio.gather(some_pay(opened), other.flushall())
                await other.config_set("maxmemory", "1")  # every write is refused with OOM
                await until(lambda: is_redis(opened, "refuses writes"))
                await double_taps(opened, "alipay")
                await other.config_set("maxmemory", "0")
            os.kill(pid_of(server), signal.SIGSTOP)
            try:
                await double_taps(opened, "wechat")
            finally:
                os.kill(pid_of(server), signal.SIGCONT)
            os.kill(pid_of(server), signal.SIGKILL)
            await some_pay(opened)
            await double_taps(opened, "alipay")
            await until(lambda: is_redis(opened, "down"))
            await asyncio.to_thread(server.start)
            await until(lambda: is_redis(opened, "up"))
            await double_taps(opened, "wechat")
            await until(lambda: agree(opened))


async def some_pay(opened: Shop) -> None:
    """All at once, all accepted; on a busy machine one may miss its send deadline,
    which is a proven no.
    """
    answers = await asyncio.gather(
        *(taken(opened, 660, auth_code=code("alipay")) for _ in range(20))
    )
    assert {answer.status for answer in answers} == {201}
    ended = await asyncio.gather(*(opened.settled(answer.document["id"]) for answer in answers))
    outcomes = {(payment["status"], (payment["failure"] or {}).get("code")) for payment in ended}
    assert ("succeeded", None) in outcomes
    assert outcomes <= {("succeeded", None), ("failed", "channel_unreachable")}


async def is_redis(opened: Shop, state: str) -> bool:
    """Reported, and no reason to send traffic elsewhere."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{opened.operations_url}/readyz") as answer,
    ):
        checks = (await answer.json())["checks"]
    assert answer.status == 200, checks
    return bool(checks["redis"] == state)


async def agree(opened: Shop) -> bool:
    violations = await audit(opened.books.dsn, opened.sandbox.control_url)
    return len(violations) == 0


async def test_fault_12_double_taps_charge_once_when_redis_grants_everything(
    database: str, sandbox: SandboxProcess
):
    """What a failover that lost a lock looks like from outside, made permanent."""
    async with (
        evil_redis() as (url, seen),
        shop(database, redis_url=url, sandbox=sandbox) as opened,
    ):
        await double_taps(opened, "alipay")
        await double_taps(opened, "wechat")
        assert seen[b"SET"] >= 16, "every tap was granted the lock"
        await until(lambda: agree(opened))


async def double_taps(opened: Shop, channel: str) -> None:
    """Eight taps with one key, eight tills with a key each, on one order: one charge, and who lost
    is told whose payment stands.
    """
    for keys in (["tap"] * 8, [f"till-{n}" for n in range(8)]):
        await taken(opened, 660, auth_code=code(channel))  # no account rests
        order, scanned = order_no(), code(channel)
        answers = await asyncio.gather(
            *(
                opened.pay(660, order_no=order, key=f"{order}-{key}", auth_code=scanned)
                for key in keys
            )
        )
        expected = [200] * 7 + [201] if len(set(keys)) == 1 else [201] + [409] * 7
        assert sorted(answer.status for answer in answers) == expected
        for answer in answers:
            assert answer.document["verdict"]["code"] in NEVER_AGAIN, "never: charge again"
        numbers = {row["out_trade_no"] for row in await trades_of(opened, order)}
        trades = [
            row for number, row in (await opened.captured(channel)).items() if number in numbers
        ]
        assert (
            len([act for row in trades for act in row["history"] if act["act"] == "charged"]) == 1
        )


async def trades_of(opened: Shop, order: str) -> list[Any]:
    return await opened.rows(
        "SELECT out_trade_no FROM attempt a JOIN payment p ON p.id = a.payment_id "
        "WHERE order_no = $1",
        order,
    )

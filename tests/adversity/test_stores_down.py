"""Postgres killed under load, Postgres that hangs, Redis dead, emptied or lying: slower, refused, never wrong."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis.asyncio

from gateway.cli.client import Answer
from gateway.embedded.postgres import EmbeddedPostgres
from gateway.embedded.redis import EmbeddedRedis
from gateway.storage.migrate import migrate
from loadtests.audit import audit
from tests.adversity.evil_redis import evil_redis
from tests.adversity.house import SCALE, code, until
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer, temporary_root
from tests.world import Shop, order_no, shop

KILLS = 1 * SCALE
TILLS = 6


@pytest.fixture
async def mortal() -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL of its own, durable as in service, to be killed."""
    with temporary_root() as root:
        server = EmbeddedPostgres(root / "pg")
        await asyncio.to_thread(server.start)
        try:
            yield server
        finally:
            await asyncio.to_thread(server.stop)


class Tills:
    """Load: each till pays, and keeps its key and body until it is answered 2xx, as a till does."""

    def __init__(self, opened: Shop, chance: random.Random) -> None:
        self.opened, self.chance = opened, chance
        self.answered: dict[str, str] = {}
        self.unanswered: dict[str, dict[str, Any]] = {}
        self.refused: dict[str, Answer] = {}
        self.stop = asyncio.Event()

    async def lunch(self) -> None:
        while not self.stop.is_set():
            method = self.chance.choice(("alipay", "cash"))
            tap: dict[str, Any] = {"method": method, "amount": self.chance.randrange(1, 9_999), "order_no": order_no()}
            key = f"key-{tap['order_no']}"
            await self.tap(key, tap if method == "cash" else tap | {"auth_code": code(method)})

    async def tap(self, key: str, body: dict[str, Any]) -> None:
        answer = await self.opened.pay(key=key, **body)
        if answer.ok:
            self.answered[key] = answer.document["id"]
            self.unanswered.pop(key, None)
            return
        assert (answer.status, answer.document["code"]) == (503, "store_unavailable"), answer.document
        assert answer.document["verdict"]["code"] in ("try_again", "do_not_charge_again")
        self.unanswered[key], self.refused[key] = body, answer


async def test_postgres_is_killed_under_load(mortal: EmbeddedPostgres, sandbox: SandboxProcess):
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    await migrate(mortal.dsn)
    async with shop(mortal.dsn, sandbox=sandbox) as opened:
        tills = Tills(opened, random.Random(seed))
        lunches = [asyncio.create_task(tills.lunch()) for _ in range(TILLS)]
        for _ in range(KILLS):
            enough = len(tills.answered) + 20
            await until(partial(is_reached, tills.answered, enough, lunches))
            refusals = len(tills.refused) + 3
            os.kill(postmaster(mortal), signal.SIGKILL)
            await until(partial(is_reached, tills.refused, refusals, lunches))
            await asyncio.to_thread(mortal.start)
        enough = len(tills.answered) + 20
        await until(partial(is_reached, tills.answered, enough, lunches), within_s=40)
        tills.stop.set()
        await asyncio.gather(*lunches)
        await promises_kept(opened, tills)
        for key, body in list(tills.unanswered.items()):
            await tills.tap(key, body)
        assert tills.unanswered == {}, "every key works again"
        await until(lambda: agree(opened, tills.answered), within_s=60)


async def is_reached(counted: dict[str, Any], number: int, lunches: list[asyncio.Task[None]]) -> bool:
    for lunch in lunches:
        if lunch.done():
            lunch.result()
    return len(counted) >= number


async def promises_kept(opened: Shop, tills: Tills) -> None:
    """ "Try again" was said only where nothing had been written."""
    for key, answer in tills.refused.items():
        if answer.document["verdict"]["code"] == "try_again" and key in tills.unanswered:
            assert await opened.rows("SELECT FROM claim WHERE idempotency_key = $1", key) == [], key


def postmaster(server: EmbeddedPostgres) -> int:
    return int((server.data / "postmaster.pid").read_text().splitlines()[0])


async def agree(opened: Shop, answered: dict[str, str]) -> bool:
    assert opened.sandbox is not None
    violations = await audit(opened.books.dsn, opened.sandbox.control_url, answered=answered)
    return len(violations) == 0


@pytest.fixture(scope="module")
async def market(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    """A shop on the session's Postgres, without Redis."""
    dsn = await postgres.fresh_database()
    async with shop(dsn, sandbox=sandbox) as opened:
        yield opened
    await postgres.drop(dsn)


async def test_postgres_that_hangs_is_a_bounded_503(market: Shop):
    """Another session holds the table: nobody waits for ever, nothing is sent, and the keys work once it lets go."""
    taps: list[dict[str, Any]] = [{"order_no": order_no(), "amount": 700, "method": "cash"} for _ in range(6)]
    taps += [{"order_no": order_no(), "amount": 700, "method": "alipay", "auth_code": code("alipay")} for _ in range(6)]
    other = await asyncpg.connect(market.books.dsn)
    try:
        async with other.transaction():
            await other.execute("LOCK TABLE claim IN EXCLUSIVE MODE")
            async with asyncio.timeout(15):
                answers = await asyncio.gather(*(market.pay(**tap) for tap in taps))
    finally:
        await other.close()
    for answer in answers:
        assert (answer.status, answer.document["code"]) == (503, "store_unavailable"), answer.document
        assert answer.document["verdict"]["code"] in ("try_again", "do_not_charge_again")
        assert "Retry-After" in answer.headers
    again = await asyncio.gather(*(market.pay(**tap) for tap in taps))
    assert {(answer.status, answer.document["status"]) for answer in again} <= {(201, "succeeded"), (200, "succeeded")}
    await until(lambda: agree(market, {}))


@contextmanager
def mortal_redis() -> Any:
    with temporary_root() as root:
        server = EmbeddedRedis(root / "redis", durable=False)
        server.start()
        try:
            yield server
        finally:
            server.stop()


async def test_payments_outlive_redis(database: str, sandbox: SandboxProcess):
    """Emptied while payments run, then killed: every payment works, double taps charge once."""
    with mortal_redis() as server:
        async with shop(database, redis_url=server.url, sandbox=sandbox) as opened:
            await until(lambda: is_redis(opened, "up"))
            async with redis.asyncio.from_url(server.url) as other:
                await asyncio.gather(twenty_pay(opened), other.flushall())
            os.kill(int(Path(server.pid_file).read_text()), signal.SIGKILL)
            await twenty_pay(opened)
            await double_taps(opened)
            await until(lambda: is_redis(opened, "down"))
            await until(lambda: agree(opened, {}))


async def twenty_pay(opened: Shop) -> None:
    """All at once, all accepted; on a busy machine one may miss its send deadline, which is a proven no."""
    answers = await asyncio.gather(*(opened.pay(660, auth_code=code("alipay")) for _ in range(20)))
    assert {answer.status for answer in answers} == {201}
    ended = await asyncio.gather(*(opened.settled(answer.document["id"]) for answer in answers))
    outcomes = {(payment["status"], (payment["failure"] or {}).get("code")) for payment in ended}
    assert ("succeeded", None) in outcomes
    assert outcomes <= {("succeeded", None), ("failed", "channel_unreachable")}


async def is_redis(opened: Shop, state: str) -> bool:
    """Reported, and no reason to send traffic elsewhere."""
    answer = await opened.office.call("GET", "/readyz")
    assert answer.status == 200, answer.document
    return bool(answer.document["checks"]["redis"] == state)


async def test_double_taps_charge_once_when_redis_grants_everything(database: str, sandbox: SandboxProcess):
    async with evil_redis() as (url, seen), shop(database, redis_url=url, sandbox=sandbox) as opened:
        await double_taps(opened)
        assert seen[b"SET"] >= 16, "every tap was granted the lock"
        await until(lambda: agree(opened, {}))


async def double_taps(opened: Shop) -> None:
    """Eight taps with one key, eight tills with a key each, on one order: one charge."""
    for channel in ("alipay", "wechat"):
        for keys in (["tap"] * 8, [f"till-{n}" for n in range(8)]):
            order, scanned = order_no(), code(channel)
            answers = await asyncio.gather(*(opened.pay(660, order_no=order, key=f"{order}-{key}", auth_code=scanned) for key in keys))
            expected = [200] * 7 + [201] if len(set(keys)) == 1 else [201] + [409] * 7
            assert sorted(answer.status for answer in answers) == expected
            charges = [
                act
                for row in (await opened.captured(channel)).values()
                if row["out_trade_no"] in {row["out_trade_no"] for row in await trades_of(opened, order)}
                for act in row["history"]
                if act["act"] == "charged"
            ]
            assert len(charges) == 1


async def trades_of(opened: Shop, order: str) -> list[Any]:
    return await opened.rows("SELECT out_trade_no FROM attempt a JOIN payment p ON p.id = a.payment_id WHERE order_no = $1", order)

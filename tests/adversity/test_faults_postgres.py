"""Postgres killed under load, Postgres that hangs, Postgres whose disk is full: refused with a
verdict, never half done.

What becomes of a lost reply to a COMMIT: `test_faults_lost_commits`. What a cut network does:
`test_faults_network`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import secrets
import signal
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import asyncpg
import pytest

from gateway.cli.client.client import Answer
from gateway.embedded.postgres import EmbeddedPostgres
from gateway.storage.schema.migrate import migrate
from loadtests.audit import audit
from tests.adversity.house import SCALE, taken, until
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer, owner_of, temporary_root
from tests.wallet_codes import code
from tests.world import Shop, order_no, shop

KILLS = 1 * SCALE
TILLS = 6
WRITE_1 = "INSERT INTO claim"
KNOWN_WORDS = ("try_again", "do_not_charge_again")


@pytest.fixture
async def mortal() -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL of its own, durable as in service, to be killed."""
    with temporary_root() as root:
        server = EmbeddedPostgres(root / "pg")
        await asyncio.to_thread(server.start)
        try:
            await migrate(server.dsn)
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
            tap: dict[str, Any] = {
                "method": method,
                "amount": self.chance.randrange(1, 9_999),
                "order_no": order_no(),
            }
            key = f"key-{tap['order_no']}"
            await self.tap(key, tap if method == "cash" else tap | {"auth_code": code(method)})

    async def tap(self, key: str, body: dict[str, Any]) -> None:
        answer = await self.opened.tap(key=key, **body)
        if answer.ok:
            self.answered[key] = answer.document["id"]
            self.unanswered.pop(key, None)
            return
        refused_for_now(answer)
        self.unanswered[key], self.refused[key] = body, answer


def refused_for_now(answer: Answer) -> str:
    """The verdict of a 503 that a cashier can act on."""
    assert answer.status == 503, answer.document
    assert answer.document["code"] in ("store_unavailable", "channels_resting"), answer.document
    assert "Retry-After" in answer.headers
    verdict: str = answer.document["verdict"]["code"]
    assert verdict in KNOWN_WORDS
    assert answer.document["verdict"]["zh"]
    return verdict


async def test_fault_06_postgres_is_killed_under_load(
    mortal: EmbeddedPostgres, sandbox: SandboxProcess
):
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
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
        await until(partial(is_reached, tills.answered, enough, lunches))
        tills.stop.set()
        await asyncio.gather(*lunches)
        await promises_kept(opened, tills)
        for key, body in list(tills.unanswered.items()):
            await tills.tap(key, body)
        assert tills.unanswered == {}, "every key works again"
        await until(lambda: agree(opened, tills.answered))


async def is_reached(
    counted: dict[str, Any], number: int, lunches: list[asyncio.Task[None]]
) -> bool:
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


async def agree(opened: Shop, answered: dict[str, str] | None = None) -> bool:
    violations = await audit(opened.books.dsn, opened.sandbox.control_url, answered=answered)
    return len(violations) == 0


@pytest.fixture(scope="module")
async def market(
    postgres: DatabaseServer, sandbox: SandboxProcess
) -> AsyncIterator[tuple[Shop, FaultProxy]]:
    """A shop on the session's Postgres, through the proxy, without Redis."""
    dsn = await postgres.fresh_database()
    async with fault_proxy(dsn) as proxy, shop(proxy.dsn, sandbox=sandbox) as opened:
        yield opened, proxy
    await postgres.give_back(dsn)


def taps_of(number: int) -> list[dict[str, Any]]:
    """Bodies with their keys, half of them cash."""
    ways: list[dict[str, Any]] = [
        {"method": "cash"} if n % 2 else {"method": "alipay", "auth_code": code("alipay")}
        for n in range(number)
    ]
    return [
        {"order_no": (order := order_no()), "key": f"key-{order}", "amount": 700} | way
        for way in ways
    ]


async def all_pay(opened: Shop, taps: list[dict[str, Any]]) -> None:
    """The same keys again, and each is paid now; on a busy machine a wallet's may miss its send
    deadline, which is a proven no.
    """
    answers = await asyncio.gather(*(taken(opened, **tap) for tap in taps))
    assert {answer.status for answer in answers} <= {200, 201}
    ended = await asyncio.gather(*(opened.settled(answer.document["id"]) for answer in answers))
    outcomes = {(payment["status"], (payment["failure"] or {}).get("code")) for payment in ended}
    assert ("succeeded", None) in outcomes
    assert outcomes <= {("succeeded", None), ("failed", "channel_unreachable")}


async def test_fault_08_locked_tables_are_a_bounded_503_for_writers_and_readers(
    market: tuple[Shop, FaultProxy],
):
    """Another session holds the tables: tills get a verdict, more readers than the pool has
    connections get their 503 or their turn.
    """
    opened, _ = market
    paid = (await opened.tap(700, method="cash")).document
    taps = taps_of(12)
    other = await asyncpg.connect(owner_of(opened.books.dsn))
    try:
        async with other.transaction():
            await other.execute("LOCK TABLE claim, payment IN ACCESS EXCLUSIVE MODE")
            reading = [asyncio.create_task(opened.office.payment(paid["id"])) for _ in range(12)]
            async with asyncio.timeout(15):
                answers = await asyncio.gather(*(opened.tap(**tap) for tap in taps))
                # As many as the pool has connections; who comes after them may have a turn.
                refused = [
                    await first for first in itertools.islice(asyncio.as_completed(reading), 8)
                ]
    finally:
        await other.close()
    for answer in answers:
        refused_for_now(answer)
    assert {answer.status for answer in refused} == {503}
    assert {answer.status for answer in await asyncio.gather(*reading)} <= {200, 503}
    await all_pay(opened, taps)
    await until(lambda: agree(opened))


async def test_fault_08_who_waits_behind_a_hanging_postgres_hears_of_it_in_time(
    market: tuple[Shop, FaultProxy],
):
    """Both lanes hold a commit that does not return.

    Whoever waits behind them is refused while "nothing written" is certain.
    """
    opened, proxy = market
    await all_pay(opened, taps_of(4))  # the lanes are connected
    held, sent = [], []
    for tap in taps_of(2):
        trap = proxy.hold_reply(WRITE_1)
        sent.append(asyncio.create_task(opened.tap(**tap)))
        await trap.sprung.wait()
        held.append(trap)
    behind = taps_of(6)
    answers = await asyncio.gather(*(opened.tap(**tap) for tap in behind))
    assert [refused_for_now(answer) for answer in answers] == ["try_again"] * 6
    assert not any(task.done() for task in sent), (
        "what was handed over is not answered before it is known"
    )
    keys = [tap["key"] for tap in behind]
    for trap in held:
        trap.release.set()
    assert {(await task).status for task in sent} == {201}
    assert await opened.rows("SELECT FROM claim WHERE idempotency_key = ANY($1)", keys) == [], (
        "and nothing was written of the others"
    )
    await all_pay(opened, behind)
    await until(lambda: agree(opened))


async def test_fault_09_disk_full_refuses_and_never_says_done(
    mortal: EmbeddedPostgres, sandbox: SandboxProcess
):
    """The file of the event log cannot grow (it is /dev/full): the real ENOSPC, from the real
    server, in the middle of write 1.
    """
    async with asyncpg_connected(mortal.dsn) as connection:
        file = mortal.data / await connection.fetchval("SELECT pg_relation_filepath('event')")
    kept = file.with_name(f"{file.name}.kept")
    async with shop(mortal.dsn, sandbox=sandbox) as opened:
        await asyncio.to_thread(mortal.stop)
        file.rename(kept)
        file.symlink_to("/dev/full")
        await asyncio.to_thread(mortal.start)
        await until(lambda: is_ready(opened))
        taps = taps_of(6)
        answers = await asyncio.gather(*(opened.tap(**tap) for tap in taps))
        assert [refused_for_now(answer) for answer in answers] == ["try_again"] * 6, (
            "rolled back by the server itself"
        )
        assert await opened.rows("SELECT FROM claim") == []
        assert await opened.captured("alipay") == {}, "nothing was sent"
        await asyncio.to_thread(mortal.stop)
        file.unlink()
        kept.rename(file)
        await asyncio.to_thread(mortal.start)
        await until(lambda: is_ready(opened))
        await all_pay(opened, taps)
        await until(lambda: agree(opened))


async def test_fault_09_a_server_that_cannot_write_its_log_panics_and_nothing_acknowledged_is_lost(
    mortal: EmbeddedPostgres, sandbox: SandboxProcess
):
    """No new WAL segment can be made: the server panics in the commit.

    "Paid" was said of what is still there, and of nothing else.
    """
    async with shop(mortal.dsn, sandbox=sandbox) as opened:
        before = [
            answer.document
            for answer in await asyncio.gather(*(taken(opened, **tap) for tap in taps_of(4)))
        ]
        paid = [payment["id"] for payment in before if payment["status"] == "succeeded"]
        assert paid
        wal = mortal.data / "pg_wal"
        wal.chmod(0o500)
        try:
            # A heartbeat may be the first to need the new segment.
            with contextlib.suppress(asyncpg.PostgresConnectionError):
                async with asyncpg_connected(mortal.dsn) as connection:
                    await connection.execute("SELECT pg_switch_wal()")
            taps = taps_of(6)
            answers = await asyncio.gather(*(opened.tap(**tap) for tap in taps))
            words = [refused_for_now(answer) for answer in answers]
            await until(lambda: has_panicked(mortal))
            os.kill(postmaster(mortal), signal.SIGKILL)
        finally:
            wal.chmod(0o700)
        await asyncio.to_thread(mortal.start)
        await until(lambda: is_ready(opened))
        written = {
            row["idempotency_key"] for row in await opened.rows("SELECT idempotency_key FROM claim")
        }
        assert (
            not {tap["key"] for tap, word in zip(taps, words, strict=True) if word == "try_again"}
            & written
        )
        for payment_id in paid:
            assert (await opened.office.payment(payment_id)).document["status"] == "succeeded"
        for tap in taps:
            again = await taken(opened, **tap)
            assert again.ok, again.document
            # Failed: its send deadline was over.
            assert (await opened.settled(again.document["id"]))["status"] in ("succeeded", "failed")
        await until(lambda: agree(opened))


def asyncpg_connected(dsn: str) -> Any:
    """A connection for one block."""
    return asyncpg.create_pool(dsn, min_size=1, max_size=1)


async def is_ready(opened: Shop) -> bool:
    return (await opened.office.call("GET", "/readyz")).status == 200


async def has_panicked(server: EmbeddedPostgres) -> bool:
    return "PANIC" in (server.root / "postgres.log").read_text()

"""Fault 36: the database is restored to some minutes ago, and the channels are not.

Whatever is repeated is charged once, and relearned.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from gateway.domain.case import Case, CaseKind
from gateway.domain.payment import Evidence
from gateway.domain.words import EvidenceWord, Source
from gateway.storage.connections import read_pool
from gateway.storage.registries.restored_log import RestoredLog
from tests.adversity.house import until
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer, superuser_of
from tests.wallet_codes import code
from tests.world import TESTER, Books, Shop, order_no, reopened, shop

BACKUP = "backup"


@asynccontextmanager
async def restored(
    books: Books, sandbox: SandboxProcess, sweep: bool = True
) -> AsyncIterator[Shop]:
    """The gateway again, on the books of the backup, in "restored" mode."""
    await put_back(books.dsn)
    pool = await read_pool(books.dsn)
    lost_from = await pool.fetchval("SELECT now() - interval '5 minutes'")
    assert await RestoredLog(pool, asked_by=TESTER).begin(lost_from, "ann")
    await pool.close()
    async with reopened(books, sandbox=sandbox, sweep=sweep) as again:
        assert again.world.directory.restored_from() == lost_from
        yield again


async def back_up(dsn: str) -> None:
    """A copy of the whole database, by the server itself."""
    await copied(named(dsn), f"{named(dsn)}_{BACKUP}", dsn)


async def put_back(dsn: str) -> None:
    """What happened since is gone."""
    async with administration(dsn) as server:
        await server.execute(f'DROP DATABASE "{named(dsn)}" WITH (FORCE)')
    await copied(f"{named(dsn)}_{BACKUP}", named(dsn), dsn)


async def copied(source: str, target: str, dsn: str) -> None:
    async with administration(dsn) as server:
        await server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", source
        )
        await server.execute(f'CREATE DATABASE "{target}" TEMPLATE "{source}"')


@asynccontextmanager
async def administration(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(
        urlunsplit(urlsplit(superuser_of(dsn))._replace(path="/postgres"))
    )
    try:
        yield connection
    finally:
        await connection.close()


def named(dsn: str) -> str:
    return urlsplit(dsn).path.removeprefix("/")


@pytest.fixture
async def own_database(postgres: DatabaseServer) -> AsyncIterator[str]:
    """With its backup, both dropped at the end."""
    dsn = await postgres.fresh_database()
    yield dsn
    async with administration(dsn) as server:
        for name in (named(dsn), f"{named(dsn)}_{BACKUP}"):
            await server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.mark.parametrize("channel", ["alipay", "wechat"])
@pytest.mark.parametrize("again", ["the same request", "cash"])
async def test_fault_36_paid_and_forgotten_is_relearned(
    own_database: str, sandbox: SandboxProcess, channel: str, again: str
):
    order, scanned = order_no(), code(channel)
    async with emptied(own_database, sandbox) as before:
        paid = await before.pay(900, order_no=order, auth_code=scanned, wait_s=10)
        assert paid.document["status"] == "succeeded"
    async with restored(before.books, sandbox) as after:
        assert (await after.office.payment(paid.document["id"])).status == 404, (
            "the books have lost it"
        )
        if again == "cash":
            repeated = await after.pay(900, order_no=order, method="cash", key=f"other-{order}")
        else:
            repeated = await after.pay(900, order_no=order, auth_code=scanned, wait_s=10)
        assert (repeated.status, repeated.document["status"], repeated.document["method"]) == (
            201,
            "succeeded",
            channel,
        ), repeated
        assert repeated.document["out_trade_no"] == paid.document["out_trade_no"]
        assert [row["state"] for row in (await after.captured(channel)).values()] == ["charged"], (
            "one charge, whoever asks"
        )
        later = await after.pay(900, order_no=order, auth_code=code(channel), key=f"later-{order}")
        assert (later.status, later.document["payment"]["id"]) == (409, repeated.document["id"]), (
            later
        )
        assert len(await after.captured(channel)) == 1


async def test_fault_36_restored_to_before_orders_were_the_stores(
    own_database: str, sandbox: SandboxProcess
):
    """The lost payment's number has no store in it; the repeat's own has one. Both are asked."""
    order, scanned = order_no(), code("alipay")
    async with emptied(own_database, sandbox) as before:
        await before.rows("INSERT INTO worker (id, beat_at) VALUES ('older', clock_timestamp())")
        await before.world.directory.refresh()
        paid = await before.pay(900, order_no=order, auth_code=scanned, wait_s=10)
        assert paid.document["status"] == "succeeded"
    async with restored(before.books, sandbox) as after:
        repeated = await after.pay(900, order_no=order, auth_code=scanned, wait_s=10)
        assert (repeated.status, repeated.document["status"]) == (201, "succeeded")
        assert repeated.document["out_trade_no"] == paid.document["out_trade_no"]
        other = await after.pay(900, order_no=order_no(), auth_code=code("alipay"), wait_s=10)
        assert other.document["status"] == "succeeded"
        made_by = await after.rows("SELECT numbering FROM payment ORDER BY created_at")
        assert [row["numbering"] for row in made_by] == [1, 2]
        assert len(await after.captured("alipay")) == 2


@asynccontextmanager
async def emptied(dsn: str, sandbox: SandboxProcess, **terms: Any) -> AsyncIterator[Shop]:
    """A shop whose backup was made when it had just been set up."""
    async with shop(dsn, sandbox=sandbox, **terms) as first:
        books = first.books
    await back_up(dsn)
    async with reopened(books, sandbox=sandbox) as opened:
        yield opened


async def test_fault_36_numbers_that_are_spent_and_numbers_never_sent(
    own_database: str, sandbox: SandboxProcess
):
    """The first was closed; the second never left (P0: its channel does not know it); the third was
    charged by the backup account.
    """
    order = order_no()
    async with emptied(own_database, sandbox, extra_accounts={"alipay": 1}) as before:
        refused = await before.pay(
            900, order_no=order, auth_code=code("alipay", "04"), key="first", wait_s=0
        )
        await before.till.cancel(refused.document["id"], wait_s=10)
        assert (await before.settled(refused.document["id"]))["status"] == "canceled"
        await sandbox.arm(
            "alipay", "pay", "refuse_connection", account=before.books.accounts["alipay"]
        )
        paid = await before.pay(
            900, order_no=order, auth_code=code("alipay"), key="second", wait_s=10
        )
        assert paid.document["status"] == "succeeded", paid
        await sandbox.disarm()
    async with restored(before.books, sandbox) as after:
        repeated = await after.pay(
            900, order_no=order, auth_code=code("alipay"), key="second", wait_s=10
        )
        assert repeated.document["status"] == "succeeded"
        assert repeated.document["out_trade_no"] == paid.document["out_trade_no"]
        charged = [
            row
            for name in ("alipay", "alipay_2")
            for row in (await after.captured(name)).values()
            if row["state"] == "charged"
        ]
        assert len(charged) == 1


async def test_fault_36_another_amount_freezes(own_database: str, sandbox: SandboxProcess):
    order = order_no()
    async with emptied(own_database, sandbox) as before:
        assert (
            await before.pay(900, order_no=order, auth_code=code("alipay"), wait_s=10)
        ).document["status"] == "succeeded"
    async with restored(before.books, sandbox) as after:
        other = await after.pay(
            950, order_no=order, auth_code=code("alipay"), key="other", wait_s=0
        )
        assert (other.document["status"], other.document["verdict"]["code"]) == (
            "in_doubt",
            "do_not_charge_again",
        ), other
        kinds = [row["kind"] for row in await after.rows('SELECT kind FROM "case"')]
        assert kinds == ["mismatch_total_amount"]  # in the words of the channel
        assert len(await after.captured("alipay")) == 1


async def test_fault_36_an_undecided_one_is_the_sweepers(
    own_database: str, sandbox: SandboxProcess
):
    order = order_no()
    async with emptied(own_database, sandbox) as before:
        waiting = await before.pay(900, order_no=order, auth_code=code("wechat", "04"), wait_s=0)
        await until(lambda: known(before, "wechat", waiting.document["out_trade_no"]))
    async with restored(before.books, sandbox) as after:
        repeated = await after.pay(
            900, order_no=order, auth_code=code("wechat"), key="other", wait_s=0
        )
        assert repeated.document["out_trade_no"] == waiting.document["out_trade_no"]
        assert (await after.settled(repeated.document["id"]))["status"] in (
            "failed",
            "expired",
        )
        assert [row["state"] for row in (await after.captured("wechat")).values()] in (
            ["closed"],
            ["reversed"],
        )


async def known(opened: Shop, channel: str, number: str) -> bool:
    return number in await opened.captured(channel)


async def test_fault_36_who_cannot_be_asked_may_hold_a_charge(
    own_database: str, sandbox: SandboxProcess
):
    """Nothing is opened, wallet or cash; when the channel answers again the same request goes
    through. A callback's case is closed.
    """
    order, scanned = order_no(), code("alipay")
    async with emptied(own_database, sandbox) as before:
        paid = await before.pay(900, order_no=order, auth_code=scanned, wait_s=10)
        assert paid.document["status"] == "succeeded"
    async with restored(before.books, sandbox) as after:
        await sandbox.arm("alipay", "query", "drop_before", account=after.books.accounts["alipay"])
        bodies: tuple[dict[str, Any], ...] = ({"auth_code": scanned}, {"method": "cash"})
        for body in bodies:
            unsure = await after.pay(900, order_no=order, **body)
            assert (unsure.status, unsure.document["code"]) == (503, "restored_unsure"), unsure
            assert unsure.document["verdict"]["code"] == "do_not_charge_again"
        assert await after.rows("SELECT FROM payment") == []
        await unknown_number(after, paid.document["out_trade_no"])
        await sandbox.disarm()
        repeated = await after.pay(900, order_no=order, auth_code=scanned, wait_s=10)
        assert repeated.document["status"] == "succeeded"
        assert len(await after.captured("alipay")) == 1
        assert await after.rows("""SELECT FROM "case" WHERE closed_at IS NULL""") == []


async def unknown_number(opened: Shop, number: str) -> None:
    """The case that a callback about a number leaves which the books do not know."""
    evidence = Evidence(
        at=opened.world.clock.now(),
        source=Source.CALLBACK,
        outcome=EvidenceWord.CALLBACK_UNKNOWN_NUMBER,
    )
    case = Case(id="case_1", kind=CaseKind.CALLBACK_UNKNOWN_NUMBER, evidence=evidence)
    await opened.world.store.open_case(
        opened.books.merchant_id, f"{opened.books.accounts['alipay']}:{number}", case
    )
    assert len(await opened.rows("""SELECT FROM "case" WHERE closed_at IS NULL""")) == 1


async def test_an_order_nobody_knows_is_charged_as_always(
    own_database: str, sandbox: SandboxProcess
):
    async with emptied(own_database, sandbox) as before:
        pass
    async with restored(before.books, sandbox) as after:
        answers = await asyncio.gather(
            after.pay(900, auth_code=code("alipay"), wait_s=10),
            after.pay(900, auth_code=code("wechat"), wait_s=10),
            after.pay(900, method="cash"),
        )
        assert [answer.document["status"] for answer in answers] == ["succeeded"] * 3

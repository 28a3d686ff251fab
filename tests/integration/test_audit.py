"""The chain over the acts and over the event log shows every change, by whoever may do anything in
the database.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from gateway.domain.audit import AskedBy
from gateway.storage.books import audit_chain
from gateway.storage.books.audit_chain import AuditChain, Broken, Kept, Verified
from gateway.storage.postgres import PostgresStore
from security.key_material import KeyEnvironment
from tests.contract.drawn import opening_of, paid_payment
from tests.servers import superuser_of

TEST = KeyEnvironment.TEST
NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
KEY = AskedBy("key", "mk_SERVER")


@dataclass(slots=True)
class Scene:
    """Books with some payments and acts in them, and who may do anything to them."""

    dsn: str
    store: PostgresStore
    chain: AuditChain
    superuser: Any

    async def pay(self, *orders: str) -> None:
        for order in orders:
            await self.store.open(opening_of(paid_payment(order)))

    async def act(self, merchant: str) -> None:
        await self.store._fetch(
            "INSERT INTO audit (merchant_id, asked_as, asked_by, act, object, after) "
            "VALUES ($1, 'person', 'mei', 'merchant.create', $1, '{\"name\": \"面\"}')",
            merchant,
        )

    async def grow(self) -> None:
        while await self.chain.extend():
            pass

    async def broken(self) -> str:
        result = await self.chain.verify()
        assert isinstance(result, Broken)
        return f"{result.link}: {result.words}"


@asynccontextmanager
async def opened_scene(dsn: str) -> AsyncIterator[Scene]:
    store, superuser = await PostgresStore.connected(dsn), await asyncpg.connect(superuser_of(dsn))
    try:
        yield Scene(dsn, store, AuditChain(store.pool), superuser)
    finally:
        await superuser.close()
        await store.close()


@pytest.fixture
async def scene(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """Twelve rows in four links of three."""
    monkeypatch.setattr(audit_chain, "AUDIT_LINK_ROWS", 3)
    async with opened_scene(database) as opened:
        await opened.pay("A1", "A2")
        await opened.act("mer_1")
        await opened.pay("A3", "A4", "A5")
        await opened.act("mer_2")
        await opened.pay("A6", "A7", "A8", "A9", "A10")
        await opened.grow()
        yield opened


async def test_books_that_nobody_changed_are_verified(scene: Scene) -> None:
    head = await scene.chain.head()
    assert head is not None
    assert await scene.chain.verify() == Verified(4, 12, head)
    assert await scene.chain.verify(newest_links=2) == Verified(2, 6, head)
    assert await scene.chain.lag() == timedelta(0)
    await scene.pay("B1")
    assert await scene.chain.lag() > timedelta(0)
    await scene.grow()
    assert await scene.chain.lag() == timedelta(0)
    assert isinstance(await scene.chain.verify([Kept(head.number, head.hash)]), Verified)


async def test_a_session_that_replays_changes_history_no_more_than_any_other(scene: Scene) -> None:
    await scene.superuser.execute("SET session_replication_role = replica")
    for change in ("DELETE FROM event", "UPDATE event SET public = false", "DELETE FROM audit"):
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await scene.superuser.execute(change)


FIFTH = "(SELECT id FROM event ORDER BY xid, seq OFFSET 4 LIMIT 1)"
INVENTED = """INSERT INTO event (merchant_id, id, object_id, version, type, public, data, at, xid)
SELECT merchant_id, 'evt_invented', 'pay_invented', 1, type, public, data, at, xid
FROM event ORDER BY xid, seq OFFSET 4 LIMIT 1"""
SWAPPED = """WITH two AS (SELECT id, xid, seq FROM event ORDER BY xid, seq OFFSET 3 LIMIT 2)
UPDATE event e SET xid = (SELECT o.xid FROM two o WHERE o.id <> e.id) FROM two t
WHERE e.id = t.id"""
BACKDATED = f"""UPDATE event SET xid = (SELECT min(xid) FROM event) WHERE id = {FIFTH}"""


@pytest.mark.parametrize(
    ("table", "change", "words"),
    [
        ("event", f"DELETE FROM event WHERE id = {FIFTH}", "2: the event at * was dropped"),
        ("event", f"UPDATE event SET public = false WHERE id = {FIFTH}", "2: * was changed"),
        (
            "event",
            f"UPDATE event SET data = replace(data::text, '1000', '9000')::json WHERE id = {FIFTH}",
            "2: * was changed",
        ),
        (
            "event",
            f"UPDATE event SET at = at + interval '1 microsecond' WHERE id = {FIFTH}",
            "2: * was changed",
        ),
        ("event", f"UPDATE event SET merchant_id = 'm2' WHERE id = {FIFTH}", "2: * was changed"),
        ("event", INVENTED, "3: the event evt_invented (pay_invented, version 1) * was invented"),
        ("event", SWAPPED, "2: * was moved"),
        ("event", BACKDATED, "1: * was invented"),
        ("audit", "DELETE FROM audit WHERE seq = 1", "1: the act at * was dropped"),
        (
            "audit",
            "UPDATE audit SET asked_by = 'ann' WHERE seq = 2",
            "3: the act merchant.create of mer_2 by ann * was changed",
        ),
        (
            "event",
            "UPDATE event SET xid = '9000000000' WHERE id = " + FIFTH,
            "2: the event at * was dropped",
        ),
    ],
)
async def test_the_first_row_that_is_not_as_it_was_is_named(
    scene: Scene, table: str, change: str, words: str
) -> None:
    await scene.superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only")
    await scene.superuser.execute(change)
    await scene.superuser.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only")
    found = await scene.broken()
    for part in words.split("*"):
        assert part.strip() in found, found


async def test_an_event_of_a_transaction_that_never_was_is_invented(scene: Scene) -> None:
    await scene.superuser.execute(INVENTED.replace("at, xid\n", "at, '9000000000'\n"))
    assert "evt_invented is of a transaction that this server never reached" in await scene.broken()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DELETE FROM audit_chain WHERE link = 2", "3: link 2 is missing before it"),
        ("DELETE FROM audit_chain WHERE link = 1", "2: link 1 is missing before it"),
        (
            "UPDATE audit_chain SET rows = substr(rows, 1, 98) WHERE link = 2",
            "2: its hash is not that of its rows",
        ),
        ("UPDATE audit_chain SET hash = sha256('') WHERE link = 2", "2: its hash is not that"),
        (
            "UPDATE audit_chain SET previous = sha256('') WHERE link = 3",
            "3: it does not stand on link 2",
        ),
    ],
)
async def test_a_chain_that_was_changed_is_broken(scene: Scene, change: str, words: str) -> None:
    await scene.superuser.execute("ALTER TABLE audit_chain DISABLE TRIGGER append_only")
    await scene.superuser.execute(change)
    assert (await scene.broken()).startswith(words)


async def test_a_chain_made_anew_as_a_whole_shows_against_a_head_that_was_kept(
    scene: Scene,
) -> None:
    head = await scene.chain.head()
    assert head is not None
    for table in ("event", "audit_chain"):
        await scene.superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only")
    await scene.superuser.execute(f"DELETE FROM event WHERE id = {FIFTH}")
    await scene.superuser.execute("DELETE FROM audit_chain")
    await scene.grow()
    assert isinstance(await scene.chain.verify(), Verified), "nothing inside of it tells"
    kept = await scene.chain.verify([Kept(head.number, head.hash)])
    assert kept == Broken(head.number, "its hash is not the one that was kept elsewhere")
    kept = await scene.chain.verify([Kept(99, head.hash)])
    assert kept == Broken(99, "it was kept elsewhere, and is in the chain no more")


async def test_several_builders_make_one_chain(database: str) -> None:
    async with opened_scene(database) as scene:
        others = [AuditChain(scene.store.pool) for _ in range(5)]

        async def build(chain: AuditChain) -> None:
            for _ in range(20):
                await chain.extend()

        async def work() -> None:
            for n in range(30):
                await scene.pay(f"C{n}")

        await asyncio.gather(work(), *(build(chain) for chain in others))
        await scene.grow()
        result = await scene.chain.verify()
        assert isinstance(result, Verified)
        assert result.rows == 30


async def test_nothing_is_chained_above_a_transaction_that_still_runs(database: str) -> None:
    """It may commit a row that belongs before those that are there."""
    async with opened_scene(database) as scene:
        slow = await asyncpg.connect(database)
        async with slow.transaction():
            await slow.execute("SELECT pg_current_xact_id()")
            await scene.pay("D1")
            assert not await scene.chain.extend()
            await slow.execute(
                "INSERT INTO audit (asked_as, asked_by, act, object) "
                "VALUES ('person', 'x', 'y', 'z')"
            )
        await slow.close()
        assert await scene.chain.extend()
        result = await scene.chain.verify()
        assert isinstance(result, Verified)
        assert (result.links, result.rows) == (1, 2)


async def test_one_large_transaction_is_chained_in_parts(scene: Scene) -> None:
    await scene.superuser.execute(
        "INSERT INTO audit (asked_as, asked_by, act, object) "
        "SELECT 'person', 'x', 'y', g::text FROM generate_series(1, 10) g"
    )
    await scene.grow()
    result = await scene.chain.verify()
    assert isinstance(result, Verified)
    assert (result.links, result.rows) == (8, 22)

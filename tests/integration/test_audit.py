"""Who did what is written with the act, and the chain over it and over the event log shows every
change, by whoever may do anything in the database.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from gateway.clock import SystemIds
from gateway.domain.audit import Act, AskedBy
from gateway.domain.case import Finding
from gateway.domain.holder import HolderKind
from gateway.domain.web_address import web_address
from gateway.storage.books import audit_chain
from gateway.storage.books.audit_chain import AuditChain, Broken, Kept, Verified
from gateway.storage.postgres import PostgresStore
from gateway.storage.registries.act_list import ActList
from gateway.storage.registries.restored_log import RestoredLog
from gateway.storage.registries.rules import RuleRegistry
from gateway.storage.registries.supervisors import SupervisorRegistry
from gateway.storage.registries.webhooks import WebhookRegistry
from gateway.webhooks.endpoints import WebhookEndpoints
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.vault import Vault
from tests.contract.drawn import case, opening_of, paid_payment
from tests.integration.registry_world import GOOD, HOLDERS, KEYS, MANIFESTS, registries
from tests.servers import owner_of, superuser_of
from tests.world import TESTER

TEST = KeyEnvironment.TEST
NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
KEY = AskedBy("key", "mk_SERVER")


async def everything_done(database: str) -> tuple[str, str, set[bytes]]:
    """Each act but the rekeying, some of them twice: two keys, and the secrets that were used."""
    async with registries(database) as world:
        people, keys, accounts = world.people, world.keys, world.accounts
        await people.create_merchant("Noodle House", "mer_1")
        await people.create_store("mer_1", "East Gate", "sto_1")
        await people.create_terminal("mer_1", "sto_1", "Till 1", "term_1")
        for holder in HOLDERS:
            await people.rename(holder, "Another")
            assert await people.disable(holder)
            assert not await people.disable(holder)  # as it was: no act
            assert await people.enable(holder)
            assert not await people.enable(holder)
        key = await keys.issue_terminal_key("mer_1", "term_1", TEST)
        await keys.limit_refunds(key.id, 2_000, None)
        newer = await keys.rotate_key(key.id, TEST)
        await keys.revoke_key(key.id)
        await people.allow_overrides("mer_1", "sto_1", allowed=False)
        supervisors = SupervisorRegistry(world.pool, ids=SystemIds(), asked_by=TESTER)
        person, pin = await supervisors.create("mer_1", "Mei", None, "sto_1")
        newer_pin = await supervisors.reset("mer_1", person)
        await supervisors.disable("mer_1", person)
        await accounts.create("mer_1", "paper", GOOD, account_id="acct_1")
        await accounts.rotate_credentials("acct_1", GOOD.replace(b"open", b"close"))
        await accounts.place("acct_1", enabled=False, priority=50)
        await accounts.place("acct_1", enabled=False, priority=50)  # as it was: no act
        await accounts.place("acct_1", enabled=True)
        assert await accounts.drain("acct_1", "lunch", "mei")
        assert not await accounts.drain("acct_1", "again", "mei")
        assert await accounts.drain("acct_1", None, "mei")
        book = WebhookRegistry(world.pool, vault=Vault(KEYS), ids=SystemIds(), asked_by=TESTER)
        desk = WebhookEndpoints(book, allow_loopback=True)
        made = await desk.create("mer_1", "https://a.example/x", (), 1, "idem", asked_by=KEY)
        await desk.create("mer_1", "https://a.example/x", (), 1, "idem", asked_by=KEY)  # replayed
        endpoint = made.endpoint.id
        turned = await desk.rotate("mer_1", endpoint, KEY)
        await desk.disable("mer_1", endpoint, KEY)
        await desk.disable("mer_1", endpoint, KEY)
        await desk.enable("mer_1", endpoint, TESTER)
        assert await book.move("mer_1", endpoint, web_address("https://b.example/y"))
        rules = RuleRegistry(world.pool, MANIFESTS, asked_by=TESTER)
        await rules.write("mer_1", None, b'{"rules": []}', "mei")
        log = RestoredLog(world.pool, asked_by=TESTER)
        assert await log.begin(NOW, "mei")
        assert await log.end("mei")
        assert not await log.end("mei")
        store = await PostgresStore.connected(database)
        opened = case()
        await store.open_case("mer_1", "pay_1", opened)
        finding = Finding.PAID
        assert await store.propose_finding(opened.id, finding, by="mei", reason="seen", now=NOW)
        assert await store.confirm_finding(opened.id, finding, by="key mk_SERVER")
        await store.close_case(opened.id, closed_by="key mk_SERVER", reason="seen", now=NOW)
        await store.close()
        secrets = [key.secret, newer.secret, made.secret, turned.secret, pin, newer_pin]
        known = {each.reveal().encode() for each in secrets if each is not None}
        return key.id, newer.id, known | {b"open sesame", b"close sesame"}


async def test_every_act_says_who_did_what_and_no_secret(database: str) -> None:
    key, newer, secrets = await everything_done(database)
    rotated = MasterKeys({1: KEYS.key(1), 2: bytes(range(1, 33))})
    async with registries(database, rotated) as world:
        await world.rekeying.rekey()
        acts = list(reversed(await ActList(world.pool).newest(None, None)))
        text = json.dumps(
            [dict(row) for row in await world.pool.fetch("SELECT * FROM audit")], default=str
        )
    assert [each.act for each in acts] == [
        Act.MERCHANT_CREATE,
        Act.STORE_CREATE,
        Act.TERMINAL_CREATE,
        *(Act(f"{kind}.{verb}") for kind in HolderKind for verb in ("rename", "disable", "enable")),
        Act.KEY_ISSUE,
        Act.KEY_LIMIT,
        Act.KEY_ROTATE,
        Act.KEY_LIMIT,  # the new one's
        Act.KEY_REVOKE,
        Act.STORE_OVERRIDES,
        Act.SUPERVISOR_CREATE,
        Act.SUPERVISOR_RESET,
        Act.SUPERVISOR_DISABLE,
        Act.ACCOUNT_CREATE,
        Act.ACCOUNT_ROTATE,
        Act.ACCOUNT_DISABLE,
        Act.ACCOUNT_PLACE,
        Act.ACCOUNT_ENABLE,
        Act.ACCOUNT_DRAIN,
        Act.ACCOUNT_UNDRAIN,
        Act.WEBHOOK_CREATE,
        Act.WEBHOOK_ROTATE,
        Act.WEBHOOK_DISABLE,
        Act.WEBHOOK_ENABLE,
        Act.WEBHOOK_MOVE,
        Act.ROUTING_SET,
        Act.RESTORED_BEGIN,
        Act.RESTORED_END,
        Act.CASE_PROPOSE,
        Act.CASE_CONFIRM,
        Act.CASE_CLOSE,
        *[Act.REKEY] * 3,
    ]
    assert {each.act for each in acts} == set(Act), "a new act needs its line here"
    said = {each.act: each for each in acts}
    assert (said[Act.WEBHOOK_ROTATE].asked_as, said[Act.WEBHOOK_ROTATE].asked_by) == (
        "key",
        "mk_SERVER",
    )
    assert (said[Act.CASE_PROPOSE].asked_as, said[Act.CASE_PROPOSE].asked_by) == ("person", "mei")
    assert (said[Act.CASE_CLOSE].asked_as, said[Act.CASE_CLOSE].asked_by) == ("key", "mk_SERVER")
    renamed = said[Act.STORE_RENAME]
    assert (renamed.merchant_id, renamed.object) == ("mer_1", "sto_1")
    assert (renamed.before, renamed.after) == ({"name": "East Gate"}, {"name": "Another"})
    assert said[Act.KEY_ROTATE].before == {"key": key}
    assert said[Act.KEY_ROTATE].object == newer
    assert said[Act.ACCOUNT_PLACE].before == {"priority": 100}
    assert said[Act.ACCOUNT_PLACE].after == {"priority": 50}
    assert said[Act.ACCOUNT_ROTATE].after["credentials"]["key"] == "***"
    assert [secret for secret in secrets if secret.decode() in text] == []


async def test_an_act_that_is_refused_leaves_no_row(database: str) -> None:
    """And none without its act: they are one transaction."""
    async with registries(database) as world:
        await world.people.create_merchant("Noodle House", "mer_1")
        with pytest.raises(ValueError, match="exists already"):
            await world.people.create_merchant("Again", "mer_1")
        connection = await asyncpg.connect(owner_of(database))
        await connection.execute("ALTER TABLE audit RENAME COLUMN act TO was_act")
        with pytest.raises(asyncpg.PostgresError):
            await world.people.create_merchant("Unseen", "mer_2")
        await connection.execute("ALTER TABLE audit RENAME COLUMN was_act TO act")
        await connection.close()
        assert [each.id for each in await world.people.merchants()] == ["mer_1"]
        assert len(await ActList(world.pool).newest(None, None)) == 1


# -- the chain -------------------------------------------------------------------------------------


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

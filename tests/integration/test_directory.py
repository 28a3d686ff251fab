"""The snapshot of keys and accounts against a real PostgreSQL:
nothing committed is missed, nothing broken spreads.
"""

from typing import Any

import asyncpg
import pytest

from gateway.clock import SystemIds
from gateway.limits import DIRECTORY_AGE_MS_MAX
from gateway.storage import built_accounts
from gateway.storage import directory as module
from gateway.storage.registries.acts import RegistryError
from gateway.storage.registries.webhooks import WebhookRegistry
from gateway.webhooks.endpoints import WebhookEndpoints
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.roles import Role
from security.vault import Vault
from tests.integration.registry_world import (
    GOOD,
    HOLDERS,
    KEYS,
    Drawer,
    PaperChannel,
    PaperTransport,
    StillClock,
    directory,
    registries,
)
from tests.servers import as_owner
from tests.world import TESTER

TEST = KeyEnvironment.TEST
NEW_STORE = "INSERT INTO store (merchant_id, id, name) VALUES ('mer_1', $1, 'x')"


async def test_it_serves_keys_stores_and_accounts_in_order(database: str) -> None:
    async with registries(database) as world:
        await world.people.create_merchant("Noodle House", "mer_1")
        await world.people.create_store("mer_1", "East Gate", "sto_1")
        await world.people.create_terminal("mer_1", "sto_1", "Till 1", "term_1")
        till = await world.people.issue_terminal_key("mer_1", "term_1", TEST)
        await world.accounts.create("mer_1", "paper", GOOD, account_id="acct_c", priority=3)
        await world.accounts.create("mer_1", "paper", GOOD, account_id="acct_b", priority=2)
        await world.accounts.create("mer_1", "drawer", account_id="acct_a", priority=5)
        snapshot = directory(database)
        await snapshot.start()
        try:
            key = snapshot.key(till.id)
            assert key is not None
            assert (key.secret, key.store_id, key.terminal_id, key.role, key.revoked) == (
                till.secret,
                "sto_1",
                "term_1",
                "terminal",
                False,
            )
            assert snapshot.store_exists("mer_1", "sto_1")
            assert not snapshot.store_exists("mer_2", "sto_1")
            papers, drawers = snapshot.remote_accounts("mer_1"), snapshot.local_accounts("mer_1")
            assert [account.id for account in papers] == ["acct_b", "acct_c"]
            assert [account.id for account in drawers] == ["acct_a"]
            channel: Any = papers[0].channel
            assert isinstance(channel, PaperChannel)
            assert papers[0].notify_url == "https://till.example/callbacks/acct_b"
            local: Any = drawers[0].channel
            assert isinstance(local, Drawer)
            assert snapshot.remote_account("acct_b") is snapshot.account("acct_b") is papers[0]
            assert snapshot.account("acct_a") is drawers[0]
            assert snapshot.remote_account("acct_a") is None
            assert snapshot.remote_accounts("mer_2") == ()
            assert snapshot.local_accounts("mer_2") == ()
            assert snapshot.fresh()
        finally:
            await snapshot.close()


async def test_a_revoked_key_is_revoked_after_one_refresh(database: str) -> None:
    async with registries(database) as world:
        await world.people.create_merchant("Noodle House", "mer_1")
        issued = await world.people.issue_merchant_key("mer_1", Role.MERCHANT, TEST)
        snapshot = directory(database)
        await snapshot.refresh()
        await world.people.revoke_key(issued.id)
        await snapshot.refresh()
        key = snapshot.key(issued.id)
        assert key is not None
        assert key.revoked
        await snapshot.close()


async def test_what_is_disabled_is_so_after_one_refresh_and_the_widest_is_named(
    database: str,
) -> None:
    async with registries(database) as world:
        await world.people.create_merchant("Noodle House", "mer_1")
        await world.people.create_store("mer_1", "East Gate", "sto_1")
        await world.people.create_terminal("mer_1", "sto_1", "Till 1", "term_1")
        snapshot = directory(database)
        await snapshot.refresh()
        merchant, store, till = HOLDERS
        for holder in (till, store, merchant):
            assert await world.people.disable(holder)
            await snapshot.refresh()
            assert snapshot.disabled("mer_1", "sto_1", "term_1") == holder
        for holder, widest in [(merchant, store), (store, till), (till, None)]:
            assert await world.people.enable(holder)
            await snapshot.refresh()
            assert snapshot.disabled("mer_1", "sto_1", "term_1") == widest
        assert await world.people.disable(till)
        await snapshot.refresh()
        assert snapshot.disabled("mer_1", "sto_1", None) is None
        assert snapshot.disabled("mer_2", "sto_1", "term_1") is None
        assert snapshot.store_exists("mer_1", "sto_1")
        await snapshot.close()


async def test_a_row_of_an_older_transaction_that_commits_last_is_not_missed(database: str) -> None:
    first, second = await asyncpg.connect(database), await asyncpg.connect(database)
    snapshot = directory(database)
    try:
        await first.execute("INSERT INTO merchant (id, name) VALUES ('mer_1', 'x')")
        older = first.transaction()
        await older.start()
        await first.execute(NEW_STORE, "sto_older")
        await second.execute(NEW_STORE, "sto_younger")
        await snapshot.refresh()
        assert snapshot.store_exists("mer_1", "sto_younger")
        assert not snapshot.store_exists("mer_1", "sto_older")
        await second.execute(NEW_STORE, "sto_youngest")
        await older.commit()
        await snapshot.refresh()
        assert snapshot.store_exists("mer_1", "sto_older")
        assert snapshot.store_exists("mer_1", "sto_youngest")
    finally:
        await snapshot.close()
        await first.close()
        await second.close()


async def test_a_snapshot_too_old_is_not_fresh_and_a_refresh_makes_it_so(database: str) -> None:
    clock = StillClock()
    snapshot = directory(database, clock)
    assert not snapshot.fresh()
    await snapshot.refresh()
    clock.seconds += DIRECTORY_AGE_MS_MAX / 1000
    assert snapshot.fresh()
    clock.seconds += 0.001
    assert not snapshot.fresh()
    await snapshot.refresh()
    assert snapshot.fresh()
    await snapshot.close()


async def test_it_starts_without_a_database_and_is_not_fresh() -> None:
    snapshot = directory("postgresql://nobody@127.0.0.1:1/none")
    await snapshot.start()
    assert not snapshot.fresh()
    assert snapshot.key("tk_ANY") is None
    await snapshot.close()


async def test_accounts_that_cannot_be_used_are_left_out_alone(database: str) -> None:
    async with registries(database) as world:
        await world.people.create_merchant("Noodle House", "mer_1")
        for name in ("good", "plain", "unfit", "moved", "foreign"):
            await world.accounts.create("mer_1", "paper", GOOD, account_id=f"acct_{name}")
        await world.accounts.rotate_credentials("acct_plain", GOOD.replace(b"https", b"http"))
        await as_owner(
            database, "UPDATE channel_account SET channel = 'cheque' WHERE id = 'acct_foreign'"
        )
        await world.pool.execute(
            "UPDATE channel_account "
            "SET sealed = (SELECT sealed FROM channel_account WHERE id = 'acct_good') "
            "WHERE id = 'acct_moved'"
        )
        with pytest.raises(RegistryError):
            await world.accounts.rotate_credentials(
                "acct_unfit", GOOD.replace(b"open sesame", b"unfit")
            )
        snapshot = directory(database)
        await snapshot.refresh()
        assert [account.id for account in snapshot.remote_accounts("mer_1")] == [
            "acct_good",
            "acct_unfit",
        ]
        assert {name: problem.split(":")[0] for name, problem in snapshot.problems.items()} == {
            "acct_plain": "CredentialsInvalid",
            "acct_foreign": "LookupError",
            "acct_moved": "VaultSealBroken",
        }
        assert "sesame" not in "".join(snapshot.problems.values())
        await world.accounts.rotate_credentials("acct_plain", GOOD)
        await snapshot.refresh()
        assert "acct_plain" not in snapshot.problems
        assert snapshot.account("acct_plain") is not None
        await snapshot.close()


async def test_only_a_changed_secret_builds_a_channel_anew_and_the_old_one_closes_late(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(built_accounts, "OLD_CALLS_END_S", 0)
    async with registries(database) as world:
        await world.people.create_merchant("Noodle House", "mer_1")
        await world.accounts.create("mer_1", "paper", GOOD, account_id="acct_1")
        snapshot = directory(database)
        await snapshot.refresh()
        built = channel_of(snapshot)
        await world.accounts.place("acct_1", priority=1, enabled=False)
        await snapshot.refresh()
        moved = snapshot.account("acct_1")
        assert moved is not None
        assert (moved.priority, moved.enabled) == (1, False)
        assert channel_of(snapshot) is built
        await world.accounts.rotate_credentials("acct_1", GOOD.replace(b"a1", b"a2"))
        await snapshot.refresh()
        rebuilt = channel_of(snapshot)
        assert rebuilt.credentials.app_id == "a2"
        old, new = built.transport, rebuilt.transport
        assert isinstance(old, PaperTransport)
        assert isinstance(new, PaperTransport)
        for closing in tuple(snapshot._built._closing):
            await closing
        assert (old.closed, new.closed) == (1, 0)
        await snapshot.close()
        assert (old.closed, new.closed) == (1, 1)


async def test_a_key_sealed_under_an_unknown_master_key_is_unknown_and_reported(
    database: str,
) -> None:
    async with registries(database, MasterKeys({9: bytes(range(32))})) as world:
        await world.people.create_merchant("Noodle House", "mer_1")
        issued = await world.people.issue_merchant_key("mer_1", Role.MERCHANT, TEST)
        snapshot = directory(database)
        await snapshot.refresh()
        assert snapshot.key(issued.id) is None
        assert "v9" in snapshot.problems[issued.id]
        await snapshot.close()


def channel_of(snapshot: module.SnapshotDirectory) -> PaperChannel:
    account = snapshot.account("acct_1")
    assert account is not None
    channel: Any = account.channel
    assert isinstance(channel, PaperChannel)
    return channel


async def test_the_origins_of_enabled_webhook_endpoints(database: str) -> None:
    async with registries(database) as world:
        for merchant in ("mer_1", "mer_2"):
            await world.people.create_merchant("Noodle House", merchant)
        book = WebhookRegistry(world.pool, vault=Vault(KEYS), ids=SystemIds(), asked_by=TESTER)
        desk = WebhookEndpoints(book, allow_loopback=True)
        snapshot = directory(database)
        await snapshot.refresh()
        assert snapshot.webhook_origins("mer_1") == frozenset()
        first = await desk.create("mer_1", "https://a.example/x", (), 1, None, asked_by=TESTER)
        second = await desk.create("mer_1", "https://a.example/y", (), 1, None, asked_by=TESTER)
        await desk.create("mer_1", "http://127.0.0.1:8080/", (), 1, None, asked_by=TESTER)
        await desk.create("mer_2", "https://b.example/", (), 1, None, asked_by=TESTER)
        await snapshot.refresh()
        assert snapshot.webhook_origins("mer_1") == {"https://a.example", "http://127.0.0.1:8080"}
        await desk.disable("mer_1", first.endpoint.id, TESTER)
        await snapshot.refresh()
        assert "https://a.example" in snapshot.webhook_origins("mer_1")
        await desk.disable("mer_1", second.endpoint.id, TESTER)
        await snapshot.refresh()
        assert snapshot.webhook_origins("mer_1") == {"http://127.0.0.1:8080"}
        await desk.enable("mer_1", second.endpoint.id, TESTER)
        await snapshot.refresh()
        assert "https://a.example" in snapshot.webhook_origins("mer_1")
        assert snapshot.webhook_origins("mer_2") == {"https://b.example"}
        await snapshot.close()

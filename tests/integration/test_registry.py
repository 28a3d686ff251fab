"""Merchants, keys and accounts as people write them."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.channel import Certificate, RemoteManifest
from gateway.clock import SystemClock
from gateway.domain.audit import Act
from gateway.domain.holder import Holder, HolderKind
from gateway.limits import LIVE_TERMINAL_KEYS_MAX
from gateway.storage.registries.accounts import AccountListing
from gateway.storage.registries.act_list import ActList
from gateway.storage.registries.acts import RegistryError
from gateway.storage.registries.rekeying import Rekeyed
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.roles import Role
from tests.integration.registry_world import GOOD, KEYS, MANIFESTS, Registries, registries

TEST = KeyEnvironment.TEST
NO_MERCHANT = Holder(HolderKind.MERCHANT, "mer_none", "mer_none")
NO_STORE = Holder(HolderKind.STORE, "mer_1", "sto_none")
TILL = Holder(HolderKind.TERMINAL, "mer_1", "term_1")


async def shop(world: Registries) -> None:
    await world.people.create_merchant("Noodle House", "mer_1")
    await world.people.create_store("mer_1", "East Gate", "sto_1")
    await world.people.create_terminal("mer_1", "sto_1", "Till 1", "term_1")


async def test_ids_are_given_or_made(database: str) -> None:
    async with registries(database) as world:
        await shop(world)
        made = await world.people.create_merchant("Tea House")
        assert made.id.startswith("mer_")
        assert [merchant.id for merchant in await world.people.merchants()] == ["mer_1", made.id]
        assert [store.name for store in await world.people.stores("mer_1")] == ["East Gate"]
        assert [(till.store_id, till.id) for till in await world.people.terminals("mer_1")] == [
            ("sto_1", "term_1")
        ]


async def test_refusals_say_what_is_wrong(database: str) -> None:
    async with registries(database) as world:
        await shop(world)
        people = world.people
        for refused, words in [
            (people.create_merchant("again", "mer_1"), "exists already"),
            (people.create_merchant("x", "a b"), "an id has"),
            (people.create_merchant("  "), "a name has"),
            (people.create_store("mer_nobody", "x"), "there is no merchant mer_nobody"),
            (people.create_terminal("mer_1", "sto_nowhere", "x"), "no store sto_nowhere"),
            (people.issue_terminal_key("mer_1", "term_none", TEST), "has no terminal"),
            (people.issue_merchant_key("mer_none", Role.FINANCE, TEST), "no merchant"),
            (people.issue_merchant_key("mer_1", Role.TERMINAL, TEST), "--terminal"),
            (people.revoke_key("tk_NONE"), "no key"),
            (people.rename(NO_MERCHANT, "x"), "no merchant mer_none: `tillgate merchant list`"),
            (
                people.disable(NO_STORE),
                "no store sto_none of merchant mer_1: `tillgate store",
            ),
            (people.enable(NO_STORE), "no store sto_none"),
            (people.rename(TILL, " "), "a name has"),
        ]:
            with pytest.raises(RegistryError, match=words):
                await refused


async def test_a_till_is_renamed_disabled_and_enabled_and_its_sibling_is_not(database: str) -> None:
    async with registries(database) as world:
        await shop(world)
        await world.people.create_merchant("Tea House", "mer_2")
        await world.people.create_store("mer_2", "West", "sto_1")
        await world.people.create_terminal("mer_2", "sto_1", "Theirs", "term_1")
        await world.people.rename(TILL, " Bar ")
        assert await world.people.disable(TILL)
        (mine,) = await world.people.terminals("mer_1")
        (theirs,) = await world.people.terminals("mer_2")
        assert (mine.name, mine.disabled_at is None) == ("Bar", False)
        disabled, renamed, *_ = await ActList(world.pool).newest("mer_1", None)
        assert (disabled.act, disabled.object) == (Act.TERMINAL_DISABLE, "term_1")
        assert (renamed.before, renamed.after) == ({"name": "Till 1"}, {"name": "Bar"})
        assert (theirs.name, theirs.disabled_at) == ("Theirs", None)
        assert await world.people.enable(TILL)
        assert (await world.people.terminals("mer_1"))[0].disabled_at is None


async def test_two_keys_live_while_one_rotates_and_never_three(database: str) -> None:
    async with registries(database) as world:
        await shop(world)
        first = await world.people.issue_terminal_key("mer_1", "term_1", TEST)
        rotations = [world.people.rotate_key(first.id, TEST) for _ in range(4)]
        results = await asyncio.gather(*rotations, return_exceptions=True)
        assert (
            sum(not isinstance(result, BaseException) for result in results)
            == LIVE_TERMINAL_KEYS_MAX - 1
        )
        await world.people.revoke_key(first.id)
        with pytest.raises(RegistryError, match="revoked already"):
            await world.people.revoke_key(first.id)
        with pytest.raises(RegistryError, match="is revoked"):
            await world.people.rotate_key(first.id, TEST)
        listed = await world.people.keys("mer_1", "term_1")
        assert [key.revoked_at is None for key in listed] == [False, True]
        assert {(key.role, key.store_id) for key in listed} == {("terminal", "sto_1")}


async def test_a_secret_is_stored_sealed_only(database: str) -> None:
    async with registries(database) as world:
        await shop(world)
        key = await world.people.issue_merchant_key("mer_1", Role.MERCHANT, TEST)
        assert key.secret.reveal().startswith("sk_test_")
        sealed = await world.pool.fetchval("SELECT sealed FROM api_key WHERE id = $1", key.id)
        assert key.secret.reveal().encode() not in sealed


@pytest.mark.parametrize(
    ("channel", "credentials", "words"),
    [
        ("paper", b"not json", "malformed"),
        ("paper", b'{"app_id": "a1", "base_url": "https://x"}', "missing: key"),
        ("paper", GOOD.replace(b"{", b'{"colour": "red", ', 1), "not known here: colour"),
        ("paper", GOOD.replace(b'"open sesame"', b"7"), "key"),
        ("paper", GOOD.replace(b"open sesame", b"unfit"), "use another"),
        ("paper", b"{}", "missing: "),
        ("drawer", GOOD, "takes no credentials"),
        ("cheque", b"{}", "not installed; there are drawer, paper"),
        ("paper", GOOD.replace(b"open sesame", b"x" * 65_536), "at most 65536 bytes"),
    ],
)
async def test_credentials_that_could_not_be_used_are_refused_and_never_quoted(
    database: str, channel: str, credentials: bytes, words: str
) -> None:
    async with registries(database) as world:
        await shop(world)
        with pytest.raises(RegistryError, match=words) as refusal:
            await world.accounts.create("mer_1", channel, credentials)
        assert "sesame" not in str(refusal.value)
        assert await world.accounts.accounts() == []


async def test_an_account_is_created_listed_without_secrets_moved_and_rotated(
    database: str,
) -> None:
    async with registries(database) as world:
        await shop(world)
        account_id = await world.accounts.create(
            "mer_1", "paper", GOOD, store_id="sto_1", priority=7
        )
        drawer = await world.accounts.create("mer_1", "drawer", account_id="acct_drawer")
        listed = {account.id: account for account in await world.accounts.accounts("mer_1")}
        assert listed.keys() == {account_id, drawer}
        assert account_id.startswith("acct_")
        paper = listed[account_id]
        assert paper.credentials["key"] == "***"
        assert (paper.priority, paper.enabled, paper.store_id, paper.problem) == (
            7,
            True,
            "sto_1",
            "",
        )
        await world.accounts.place(account_id, enabled=False)
        await world.accounts.place(account_id, priority=3)
        await world.accounts.rotate_credentials(account_id, GOOD.replace(b"a1", b"a2"))
        await world.accounts.replace_address(
            account_id, "https://pay.example", "https://pay2.example"
        )
        changed: AccountListing = await world.accounts.account(account_id)
        assert (changed.priority, changed.enabled, changed.credentials["app_id"]) == (
            3,
            False,
            "a2",
        )
        assert changed.credentials["base_url"] == "https://pay2.example"
        with pytest.raises(RegistryError, match="no account"):
            await world.accounts.place("acct_none", enabled=True)


async def test_a_certificate_that_could_verify_nothing_is_not_stored(database: str) -> None:
    now = SystemClock().now()
    ends = [now + timedelta(days=9)]
    remote = MANIFESTS["paper"]
    assert isinstance(remote, RemoteManifest)
    paper = replace(
        remote,
        certificates=lambda _: [
            Certificate(name="theirs", not_before=now - timedelta(days=9), not_after=ends[0])
        ],
    )
    async with registries(database, manifests={"paper": paper}) as world:
        await shop(world)
        account = await world.accounts.create("mer_1", "paper", GOOD)
        assert (await world.accounts.account(account)).usable_until == {"theirs": ends[0]}
        ends[0] = now - timedelta(days=1)
        with pytest.raises(RegistryError, match="theirs expired on"):
            await world.accounts.create("mer_1", "paper", GOOD)
        with pytest.raises(RegistryError, match="theirs expired on"):
            await world.accounts.rotate_credentials(account, GOOD)
        assert (await world.accounts.account(account)).problem == ""  # it can still be looked at


async def test_everything_is_resealed_under_the_new_master_key_once(database: str) -> None:
    async with registries(database) as world:
        await shop(world)
        await world.people.issue_terminal_key("mer_1", "term_1", TEST)
        await world.accounts.create("mer_1", "paper", GOOD)
    rotated = MasterKeys({1: KEYS.key(1), 2: bytes(range(1, 33))})
    async with registries(database, rotated) as world:
        assert await world.rekeying.rekey() == Rekeyed(2, 0)
        assert await world.rekeying.rekey() == Rekeyed(0, 2)
    async with registries(database, MasterKeys({2: rotated.key(2)})) as world:
        assert [
            (account.key_version, account.problem) for account in await world.accounts.accounts()
        ] == [(2, "")]

"""A row of a key or an account says whose it is, and its seal says so too: a row whose columns were
changed alone opens nothing.
"""

import pytest

from gateway.storage.registries.acts import RegistryError
from gateway.storage.registries.keys import IssuedKey
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.roles import Role
from tests.integration.registry_world import GOOD, KEYS, Registries, directory, registries
from tests.servers import as_owner

TEST, LIVE = KeyEnvironment.TEST, KeyEnvironment.LIVE


async def tills(world: Registries) -> IssuedKey:
    """A till's key; the stores, tills and merchants it could be moved to exist."""
    for merchant in ("mer_1", "mer_evil"):
        await world.people.create_merchant(merchant, merchant)
    for store in ("sto_1", "sto_2"):
        await world.people.create_store("mer_1", store, store)
    for number in (1, 2):
        await world.people.create_terminal("mer_1", f"sto_{number}", "till", f"term_{number}")
    return await world.people.issue_terminal_key("mer_1", "term_1", TEST)


@pytest.mark.parametrize(
    "change",
    [
        "merchant_id = 'mer_evil', role = 'merchant', store_id = NULL, terminal_id = NULL",
        "role = 'merchant'",
        "store_id = 'sto_2'",
        "store_id = 'sto_2', terminal_id = 'term_2'",
        "environment = 'live'",
        "environment = NULL",
        "refund_max = 100000000",
        "refund_day_max = 100000000",
    ],
)
async def test_no_update_turns_a_till_into_anything_else(database: str, change: str) -> None:
    async with registries(database) as world:
        key = await tills(world)
        snapshot = directory(database)
        await snapshot.refresh()
        assert snapshot.key(key.id) is not None
        await as_owner(database, f"UPDATE api_key SET {change} WHERE id = $1", key.id)
        await snapshot.refresh()
        assert snapshot.key(key.id) is None
        assert snapshot.problems[key.id].startswith("VaultSealBroken")
        await snapshot.close()


async def test_limits_are_sealed_with_the_key_and_taken_over_by_the_next(database: str) -> None:
    async with registries(database) as world:
        key = await tills(world)
        await world.people.limit_refunds(key.id, 500, 1_200)
        second = await world.people.rotate_key(key.id, TEST)
        await world.people.limit_refunds(key.id, None, 900)
        snapshot = directory(database)
        await snapshot.refresh()
        for each, limits in ((key, (200_000, 900)), (second, (500, 1_200))):
            found = snapshot.key(each.id)
            assert found is not None
            assert found.secret.reveal() == each.secret.reveal()
            assert (found.refund_limits.each, found.refund_limits.day) == limits
        for change in ("refund_max = NULL", "refund_day_max = 1201"):
            await as_owner(database, f"UPDATE api_key SET {change} WHERE id = $1", second.id)
            await snapshot.refresh()
            assert snapshot.key(second.id) is None
            with pytest.raises(RegistryError, match="cannot be sealed anew"):
                await world.people.limit_refunds(second.id, 500, 1_200)
            await as_owner(
                database,
                "UPDATE api_key SET refund_max = 500, refund_day_max = 1200 WHERE id = $1",
                second.id,
            )
            await snapshot.refresh()
            assert snapshot.key(second.id) is not None
        await snapshot.close()


@pytest.mark.parametrize("already_built", [True, False])
@pytest.mark.parametrize("change", ["store_id = 'sto_1'", "merchant_id = 'mer_evil'"])
async def test_no_update_gives_an_account_to_others(
    database: str, change: str, already_built: bool
) -> None:
    async with registries(database) as world:
        await tills(world)
        await world.accounts.create("mer_1", "paper", GOOD, account_id="acct_1")
        snapshot = directory(database)
        if already_built:
            await snapshot.refresh()
            assert snapshot.account("acct_1") is not None
        await as_owner(database, f"UPDATE channel_account SET {change} WHERE id = 'acct_1'")
        await snapshot.refresh()
        assert snapshot.account("acct_1") is None
        for merchant in ("mer_1", "mer_evil"):
            assert snapshot.remote_accounts(merchant) == ()
        await snapshot.close()


async def test_a_secret_of_another_key_is_no_key(database: str) -> None:
    """The sealed secret of a key one holds, put into the row of a key one would like."""
    async with registries(database) as world:
        mine = await tills(world)
        other = await world.people.issue_merchant_key("mer_1", Role.MERCHANT, TEST)
        await as_owner(
            database,
            "UPDATE api_key SET sealed = (SELECT sealed FROM api_key WHERE id = $1) WHERE id = $2",
            mine.id,
            other.id,
        )
        snapshot = directory(database)
        await snapshot.refresh()
        assert snapshot.key(other.id) is None
        await snapshot.close()


async def test_test_keys_are_taken_where_they_belong(database: str) -> None:
    async with registries(database) as world:
        key = await tills(world)
        live = await world.people.issue_merchant_key("mer_1", Role.MERCHANT, LIVE)
        for takes_test_keys, misplaced in ((True, set()), (False, {key.id})):
            snapshot = directory(database, takes_test_keys=takes_test_keys)
            await snapshot.refresh()
            found = [snapshot.key(each) for each in (key.id, live.id)]
            assert {each.id for each in found if each is not None and each.misplaced} == misplaced
            await snapshot.close()


async def test_a_worker_that_lacks_the_key_says_so_and_one_broken_row_makes_none_unready(
    database: str,
) -> None:
    newer = MasterKeys({1: KEYS.key(1), 2: bytes(range(1, 33))})
    async with registries(database, newer) as world:
        key = await tills(world)
        await world.people.issue_merchant_key("mer_1", Role.MERCHANT, TEST)
    behind, present = directory(database), directory(database, keys=newer)
    await behind.refresh()
    await present.refresh()
    assert (len(behind.unopened), present.unopened) == (2, [])
    await as_owner(database, "UPDATE api_key SET role = 'merchant' WHERE id = $1", key.id)
    await present.refresh()
    assert (list(present.problems), present.unopened) == ([key.id], [])
    # Another key under the same number opens nothing: no worker is worse off than this one.
    stranger = directory(database, keys=MasterKeys({2: bytes(range(2, 34))}))
    await stranger.refresh()
    assert len(stranger.unopened) == 2
    for each in (behind, present, stranger):
        await each.close()

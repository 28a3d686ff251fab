"""The snapshot follows the history of one server: it takes every row or is not fresh, reads
"restored" mode whatever the database was told about dates, and begins anew at another server.
"""

import asyncio
from urllib.parse import urlsplit

import asyncpg
import pytest

from gateway.limits import DIRECTORY_AGE_MS_MAX
from gateway.storage.connections import connect, read_pool, transaction_pool
from gateway.storage.directory import SnapshotDirectory
from gateway.storage.directory_rows import RestoredRow
from gateway.storage.registries.restored_log import RestoredLog
from security.key_material import KeyEnvironment
from security.roles import Role
from tests.integration.registry_world import GOOD, HOLDERS, StillClock, directory, registries
from tests.servers import DatabaseServer, owner_of
from tests.world import TESTER

TEST = KeyEnvironment.TEST
AHEAD = str(10**15)  # where a server stood that had done much more

# What a database may have been set to, by whom it belongs to, and what our statements need.
HOSTILE = {
    "datestyle": ("German", "ISO, MDY"),
    "timezone": ("Asia/Shanghai", "UTC"),
    "synchronous_commit": ("off", "on"),
    "default_transaction_isolation": ("repeatable read", "read committed"),
}


@pytest.fixture
async def hostile(postgres: DatabaseServer):
    dsn = await postgres.fresh_database()
    server = await asyncpg.connect(owner_of(dsn))
    for name, (bad, _) in HOSTILE.items():
        await server.execute(f"ALTER DATABASE \"{urlsplit(dsn).path[1:]}\" SET {name} = '{bad}'")
    await server.close()
    yield dsn
    await postgres.give_back(dsn)


async def test_the_mode_stands_whatever_the_database_was_told_about_dates(hostile: str) -> None:
    pool, snapshot = await read_pool(hostile), directory(hostile)
    lost_from = await pool.fetchval("SELECT now() - interval '5 minutes'")
    assert await RestoredLog(pool, asked_by=TESTER).begin(lost_from, "ann")
    await snapshot.refresh()
    assert snapshot.fresh()
    assert snapshot.restored_from() == lost_from
    assert snapshot.restored_at() == await pool.fetchval("SELECT begun_at FROM restored")
    await snapshot.close()
    await pool.close()


async def test_every_connection_of_ours_has_our_settings(hostile: str) -> None:
    ours = {name: value for name, (_, value) in HOSTILE.items()}
    for opened in (
        await read_pool(hostile),
        await transaction_pool(hostile),
        await connect(hostile),
        await connect(hostile, writing=True),
    ):
        assert {name: await opened.fetchval(f"SHOW {name}") for name in HOSTILE} == ours
        await opened.close()


async def test_the_end_of_restored_mode_is_seen_by_a_snapshot_that_runs(database: str) -> None:
    pool, snapshot = await read_pool(database), directory(database)
    log = RestoredLog(pool, asked_by=TESTER)
    lost_from = await pool.fetchval("SELECT now() - interval '5 minutes'")
    for _ in range(2):
        assert await log.begin(lost_from, "ann")
        await snapshot.refresh()
        assert snapshot.restored_from() == lost_from
        assert await log.end("ann")
        await snapshot.refresh()
        assert (snapshot.restored_from(), snapshot.restored_at()) == (None, None)
    await snapshot.close()
    await pool.close()


async def test_a_row_that_was_not_taken_comes_again_and_until_then_the_snapshot_is_not_fresh(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = StillClock()
    pool, snapshot = await read_pool(database), directory(database, clock)
    await snapshot.refresh()

    def broken(_self: SnapshotDirectory, row: RestoredRow) -> None:
        raise ArithmeticError(row.id)

    with monkeypatch.context() as broke:
        broke.setattr(SnapshotDirectory, "_take_restored", broken)
        await RestoredLog(pool, asked_by=TESTER).begin(await pool.fetchval("SELECT now()"), "ann")
        for _ in range(3):
            clock.seconds += DIRECTORY_AGE_MS_MAX / 2000
            with pytest.raises(ArithmeticError):
                await snapshot.refresh()
        assert not snapshot.fresh()
    await snapshot.refresh()
    assert snapshot.restored_from() is not None
    assert snapshot.fresh()
    await snapshot.close()
    await pool.close()


async def test_a_smaller_transaction_number_is_another_server_and_everything_is_read_anew(
    database: str,
) -> None:
    async with registries(database) as world:
        await world.people.create_merchant("Noodle House", "mer_1")
        kept = await world.people.issue_merchant_key("mer_1", Role.MERCHANT, TEST)
        revoked = await world.people.issue_merchant_key("mer_1", Role.MERCHANT, TEST)
        await world.accounts.create("mer_1", "paper", GOOD, account_id="acct_1")
        snapshot = directory(database)
        await snapshot.refresh()
        channel = snapshot.account("acct_1")
        assert channel is not None
        snapshot._xmin = AHEAD
        await world.people.revoke_key(revoked.id)
        await world.accounts.drain("acct_1", "no more", "ann")
        await snapshot.refresh()
        key, account = snapshot.key(revoked.id), snapshot.account("acct_1")
        assert key is not None
        assert account is not None
        assert (key.revoked, account.drained) == (True, "no more")
        assert account.channel is channel.channel  # nothing is built anew for it
        assert snapshot.key(kept.id) is not None
        assert snapshot._xmin != AHEAD
        await snapshot.close()


async def test_what_the_other_server_does_not_hold_exists_no_more(
    database: str, postgres: DatabaseServer
) -> None:
    async with registries(database) as world:
        await world.people.create_merchant("Noodle House", "mer_1")
        await world.people.create_store("mer_1", "East Gate", "sto_1")
        await world.people.create_terminal("mer_1", "sto_1", "Till 1", "term_1")
        for holder in HOLDERS:
            assert await world.people.disable(holder)
        made = await world.people.issue_merchant_key("mer_1", Role.MERCHANT, TEST)
        await world.accounts.create("mer_1", "paper", GOOD, account_id="acct_1")
        await world.accounts.create("mer_1", "drawer", account_id="acct_2")
        await RestoredLog(world.pool, asked_by=TESTER).begin(
            await world.pool.fetchval("SELECT now()"), "ann"
        )
        snapshot = directory(database)
        await snapshot.refresh()
        assert snapshot.key(made.id) is not None
        assert snapshot.disabled("mer_1", "sto_1", "term_1") == HOLDERS[0]
        other = await postgres.fresh_database()
        snapshot._dsn, snapshot._xmin = other, AHEAD
        assert snapshot._connection is not None
        await snapshot._connection.close()
        await snapshot.refresh()
        assert (snapshot.key(made.id), snapshot.account("acct_1")) == (None, None)
        assert snapshot.remote_accounts("mer_1") == ()
        assert snapshot.local_accounts("mer_1") == ()
        assert not snapshot.store_exists("mer_1", "sto_1")
        assert snapshot.disabled("mer_1", "sto_1", "term_1") is None
        assert snapshot.restored_from() is not None  # until its own row says that it has ended
        assert snapshot.fresh()
        await snapshot.close()
        await postgres.give_back(other)


async def test_the_age_counts_from_before_the_question(database: str) -> None:
    """A delta that took four seconds tells of four seconds ago."""
    clock = StillClock()
    snapshot, blocker = directory(database, clock), await asyncpg.connect(owner_of(database))
    await snapshot.refresh()
    held = blocker.transaction()
    await held.start()
    await blocker.execute("LOCK TABLE restored IN ACCESS EXCLUSIVE MODE")
    asked = asyncio.create_task(snapshot.refresh())
    waits = "SELECT count(*) FROM pg_locks WHERE relation = 'restored'::regclass AND NOT granted"
    async with asyncio.timeout(20):
        while not await blocker.fetchval(waits):
            pass
    clock.seconds += 4
    await held.rollback()
    await asked
    assert snapshot.fresh()
    clock.seconds += DIRECTORY_AGE_MS_MAX / 1000 - 4
    assert snapshot.fresh()
    clock.seconds += 0.001
    assert not snapshot.fresh()
    await snapshot.close()
    await blocker.close()

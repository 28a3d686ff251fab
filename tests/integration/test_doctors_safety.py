"""What the doctor says of roles, triggers, the audit chain and the lines; and `tillgate audit`."""

from dataclasses import replace

import asyncpg
import pytest

from gateway.cli.commands.checks import examine
from gateway.cli.commands.finding import Diagnosis, Level
from gateway.storage.books.audit_chain import AuditChain
from gateway.storage.connections import read_pool
from gateway.storage.postgres import PostgresStore
from gateway.storage.schema.migrate import migrate
from gateway.storage.schema.roles import AppRole
from tests.contract.drawn import drawn_payment, opening_of, paid_payment
from tests.integration.registry_world import registries
from tests.integration.test_command_line import Shell, shell
from tests.servers import APP, DatabaseServer, as_owner, owner_of, superuser_of
from tests.world import settings_for

__all__ = ["shell"]


async def found(dsn: str, name: str) -> Diagnosis:
    (finding,) = [
        each for each in await examine(settings_for(dsn, None, None)) if each.name == name
    ]
    return finding


async def chained(dsn: str) -> None:
    async with registries(dsn) as world:
        await world.people.create_merchant("Noodle House", "mer_1")
        while await AuditChain(world.pool).extend():
            pass


async def test_a_service_that_owns_nothing_is_well(database: str) -> None:
    await chained(database)
    assert (await found(database, "role")).level is Level.GOOD
    assert (await found(database, "history")).level is Level.GOOD
    assert "the newest 1 events and acts" in (await found(database, "audit chain")).text


@pytest.mark.parametrize(
    ("role", "words"), [(superuser_of, "may do anything"), (owner_of, "owns its tables")]
)
async def test_one_role_for_everything_works_and_is_warned_of(
    postgres: DatabaseServer, role: object, words: str
) -> None:
    """An installation from before the roles: nothing is granted, and nothing is lost."""
    empty = await postgres.empty_database()
    dsn = role(empty)  # type: ignore[operator]
    await migrate(dsn)
    await chained(dsn)
    finding = await found(dsn, "role")
    assert (finding.level, words in finding.text) == (Level.WARNING, True)
    assert "TILLGATE_MIGRATE_DATABASE_URL" in finding.text
    # What the words say is enough.
    await migrate(dsn, app=AppRole(APP))
    assert (await found(postgres.dsn_of(dsn.split("/")[3].split("?")[0]), "role")).level is (
        Level.GOOD
    )
    await postgres.give_back(dsn)


async def test_a_change_of_environment_with_open_payments_is_wrong(database: str) -> None:
    store = await PostgresStore.connected(database)
    await store.open(opening_of(paid_payment("ended")))
    settings = settings_for(database, None, None)
    assert "environment" not in {each.name for each in await examine(settings)}
    await store.open(opening_of(drawn_payment("open")))
    finding = await found(database, "environment")
    assert finding.level is Level.WRONG
    assert "1 open payments and refunds have numbers that do not begin with T0" in finding.text
    same = replace(settings, environment="TT")
    assert "environment" not in {each.name for each in await examine(same)}
    await store.close()


async def test_rights_that_were_widened_are_seen(database: str) -> None:
    await as_owner(database, f"GRANT UPDATE ON event TO {APP}")
    finding = await found(database, "role")
    assert (finding.level, "on event: run `tillgate migrate`" in finding.text) == (
        Level.WRONG,
        True,
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER TABLE journal DISABLE TRIGGER append_only", "journal.append_only"),
        ("ALTER TABLE event ENABLE TRIGGER append_only", "event.append_only"),
        ("ALTER TABLE payment DISABLE TRIGGER ALL", "payment.moves"),
        ("DROP TRIGGER append_only ON audit", "audit.append_only"),
    ],
)
async def test_a_trigger_that_is_off_is_named(database: str, change: str, named: str) -> None:
    connection = await asyncpg.connect(superuser_of(database))
    await connection.execute(change)
    await connection.close()
    finding = await found(database, "history")
    assert (finding.level, named in finding.text) == (Level.WRONG, True)


async def test_what_was_changed_lately_is_noticed(database: str) -> None:
    await chained(database)
    for sql in (
        "ALTER TABLE audit DISABLE TRIGGER append_only",
        "UPDATE audit SET asked_by = 'ann'",
        "ALTER TABLE audit ENABLE ALWAYS TRIGGER append_only",
    ):
        await as_owner(database, sql)
    finding = await found(database, "audit chain")
    assert (finding.level, "by ann" in finding.text) == (Level.WRONG, True)


async def test_the_chain_is_read_by_hand(shell: Shell, database: str) -> None:
    code, _, err = await shell.run("audit head")
    assert (code, "tillgate work" in err) == (2, True)
    assert await shell.good("audit list") == "nothing was done yet"
    merchant = await shell.good("merchant create Noodles")
    account = await shell.good(f"account create {merchant} cash")
    await shell.good(f"account drain {account} --reason lunch --by mei")
    listed = (await shell.good("audit list")).splitlines()
    assert [line.split()[4] for line in listed[1:]] == [
        "account.drain",
        "account.create",
        "merchant.create",
    ]
    assert "(person)" in listed[1]
    assert "mei (typed by " in listed[1]
    assert len((await shell.good(f"audit list --object {account}")).splitlines()) == 3
    pool = await read_pool(database)
    while await AuditChain(pool).extend():
        pass
    await pool.close()
    kept = (await shell.good("audit head")).split()[0]
    assert "3 events and acts in 1 links" in await shell.good(f"audit verify --head {kept}")
    code, _, err = await shell.run(f"audit verify --head 1:{'0' * 64}")
    assert (code, "not the one that was kept elsewhere" in err) == (2, True)
    code, _, err = await shell.run("audit verify --head 1")
    assert (code, "LINK:HASH" in err) == (2, True)

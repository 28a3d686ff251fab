"""The services' role may do what they do, and nothing else."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from gateway.storage.schema.migrate import MigrationError, migrate
from gateway.storage.schema.roles import (
    RIGHTS,
    AppRole,
    RolesError,
    _verifier,
    app_role,
    misplaced_rights,
)
from security.secret import Secret
from tests.servers import APP, OWNER, DatabaseServer, owner_of, superuser_of

HISTORY = (
    "event",
    "journal",
    "delivery",
    "override",
    "rule_set",
    "channel_health_event",
    "audit",
    "audit_chain",
)
NOT_FOR_SERVICES = [
    "UPDATE api_key SET merchant_id = 'mer_evil'",
    "UPDATE api_key SET role = 'merchant', store_id = NULL, terminal_id = NULL",
    "UPDATE channel_account SET store_id = NULL",
    "UPDATE webhook_secret SET merchant_id = 'mer_evil'",
    """INSERT INTO event (merchant_id, id, object_id, version, type, public, data, at, xid)
    VALUES ('m', 'e', 'o', 1, 't', true, '{}', now(), '1')""",
    "DELETE FROM payment",
    "DELETE FROM worker",
    "INSERT INTO schema_migration (version, sha256) VALUES ('9999_x', '')",
    "TRUNCATE payment",
    "ALTER TABLE event DISABLE TRIGGER append_only",
    "DROP TRIGGER moves ON payment",
    "CREATE TRIGGER mine BEFORE INSERT ON payment FOR EACH ROW EXECUTE FUNCTION stamp_change()",
    "CREATE TABLE mine (x int)",
    "CREATE TEMPORARY TABLE attempt (x int)",
    """CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN RETURN NULL; END'""",
    "SET session_replication_role = replica",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "CREATE ROLE mine",
    f"SET ROLE {OWNER}",
]


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def test_every_table_says_what_services_may_do(database: str) -> None:
    """A migration that makes a table says here what services need of it."""
    async with connected(database) as connection:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert {row["tablename"] for row in rows} == set(RIGHTS)
        assert await misplaced_rights(connection, APP) == []


@pytest.mark.parametrize("sql", NOT_FOR_SERVICES)
async def test_a_service_may_not(database: str, sql: str) -> None:
    async with connected(database) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(sql)


async def test_history_is_kept_from_everybody(database: str) -> None:
    """From services by their rights; from the owner, and from a superuser who replays another
    server's changes, by triggers that always fire.
    """
    async with (
        connected(database) as app,
        connected(owner_of(database)) as owner,
        connected(superuser_of(database)) as superuser,
    ):
        await superuser.execute("SET session_replication_role = replica")
        triggers = await owner.fetch(
            "SELECT tgrelid::regclass::text FROM pg_trigger "
            "WHERE tgname = 'append_only' AND tgenabled = 'A'"
        )
        assert {row[0].strip('"') for row in triggers} == set(HISTORY)
        for table in HISTORY:
            column = await owner.fetchval(
                "SELECT attname FROM pg_attribute "
                "WHERE attrelid = $1::regclass AND attnum > 0 AND attidentity = '' LIMIT 1",
                f'"{table}"',
            )
            changes = (
                f'UPDATE "{table}" SET {column} = {column}',
                f'DELETE FROM "{table}"',
                f'TRUNCATE "{table}"',
            )
            for change in changes:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await app.execute(change)
                for person in (owner, superuser):
                    with pytest.raises(asyncpg.PostgresError, match="append-only"):
                        await person.execute(change)


async def test_a_right_too_many_or_too_few_is_seen_and_set_right(database: str) -> None:
    owner = owner_of(database)
    async with connected(owner) as connection:
        await connection.execute(f"GRANT DELETE ON payment TO {APP}")
        await connection.execute(f"GRANT UPDATE (merchant_id) ON api_key TO {APP}")
        await connection.execute(f"REVOKE INSERT ON claim FROM {APP}")
        assert await misplaced_rights(connection, APP) == ["api_key", "claim", "payment"]
        assert await migrate(owner, app=AppRole(APP)) == []
        assert await misplaced_rights(connection, APP) == []


async def test_migrating_makes_the_role_and_its_password_works(postgres: DatabaseServer) -> None:
    """Several databases of one server may do so at once. A role that exists keeps its password."""
    dsns = [superuser_of(await postgres.empty_database()) for _ in range(3)]
    role = AppRole("till_service", Secret("correct horse"))
    await asyncio.gather(*(migrate(dsn, app=role) for dsn in dsns))
    await migrate(dsns[0], app=AppRole("till_service", Secret("another")))
    async with connected(dsns[0]) as connection:
        stored = await connection.fetchval(
            "SELECT rolpassword FROM pg_authid WHERE rolname = 'till_service'"
        )
        plain = await connection.fetchrow(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolcanlogin FROM pg_roles "
            "WHERE rolname = 'till_service'"
        )
        assert tuple(plain) == (False, False, False, False, True)
        assert stored.startswith("SCRAM-SHA-256$4096:")
        assert await misplaced_rights(connection, "till_service") == []
        # The server itself makes the same of the same password and salt.
        salt = stored.split(":")[1].split("$")[0]
        assert stored == _verifier(Secret("correct horse"), base64.b64decode(salt))
    for dsn in dsns:
        await postgres.give_back(dsn)
    async with connected(postgres.dsn) as connection:
        await connection.execute("DROP ROLE till_service")


async def test_who_may_not_make_the_role_says_what_to_run(postgres: DatabaseServer) -> None:
    owner = await postgres.empty_database()
    role = AppRole('odd "name', Secret("x"))
    with pytest.raises(RolesError, match='CREATE ROLE "odd ""name" LOGIN') as refusal:
        await migrate(owner, app=role)
    assert "PASSWORD 'x'" not in str(refusal.value)
    async with connected(owner) as connection:  # the schema is there, and the next run goes on
        assert await connection.fetchval("SELECT count(*) FROM merchant") == 0
    async with connected(postgres.dsn) as connection:
        await connection.execute('CREATE ROLE "odd ""name" LOGIN')
        await migrate(owner, app=role)
        await postgres.give_back(owner)
        await connection.execute('DROP ROLE "odd ""name"')


async def test_who_may_not_migrate_says_who_may(postgres: DatabaseServer) -> None:
    owner = await postgres.empty_database()
    app = postgres.dsn_of(owner.split("/")[3].split("?")[0])
    with pytest.raises(MigrationError, match="TILLGATE_MIGRATE_DATABASE_URL"):
        await migrate(app)
    await postgres.give_back(owner)


@pytest.mark.parametrize(
    ("app", "role"),
    [
        ("postgresql://tillgate_app:p%40ss@db/tillgate", ("tillgate_app", "p@ss")),
        ("postgresql://db/tillgate?user=tillgate_app&password=x", ("tillgate_app", "x")),
        ("postgresql://tillgate_app@/tillgate?host=/run/postgresql", ("tillgate_app", None)),
        ("postgresql://tillgate_owner:other@db/tillgate", None),
    ],
)
def test_the_addresses_name_the_roles(app: str, role: tuple[str, str | None] | None) -> None:
    found = app_role(f"postgresql://tillgate_owner:{quote('s@cret')}@db/tillgate", app)
    if role is None:
        assert found is None, "one role for both: nothing to grant"
    else:
        assert found is not None
        password = found.password.reveal() if found.password else None
        assert (found.name, password) == role

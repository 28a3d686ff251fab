"""The migration runner: plain SQL files `NNNN_what.sql`, each applied once, in order, by one
process at a time.

Waiting is polling, never a blocked `pg_advisory_lock`: a blocked waiter holds a snapshot, and a
`CREATE INDEX CONCURRENTLY` in the winner would deadlock with it and leave an invalid index.

A file that begins with `-- no-transaction` is sent one statement at a time, because several
statements in one string are one implicit transaction.
"""

from __future__ import annotations  # asyncpg.Connection is generic for mypy only

import asyncio
import hashlib
import logging
import time
from pathlib import Path
from typing import NamedTuple

import asyncpg

from gateway.limits import (
    MIGRATION_LOCK_POLL_MS,
    MIGRATION_LOCK_WAIT_S,
    MIGRATION_NOTICE_INTERVAL_S,
    MIGRATION_TABLE_LOCK_WAIT_MS,
)
from gateway.storage.schema.roles import AppRole, equip

log = logging.getLogger("tillgate.migrate")

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_KEY = 7_459_226_481_553  # any constant of our own
SERVER_VERSION_MIN = 140_000
NO_TRANSACTION = "-- no-transaction"

LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migration (
  version text PRIMARY KEY,
  sha256 text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(RuntimeError):
    """The schema could not be brought up to date; the message says what to do."""


class Migration(NamedTuple):
    """One file: `version` is its name without `.sql`."""

    version: str
    sql: str

    @property
    def sha256(self) -> str:
        """Hex digest of the text, the guard against edits after the fact."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


async def migrate(dsn: str, folder: Path = MIGRATIONS, *, app: AppRole | None = None) -> list[str]:
    """Apply what is missing, then give `app` its rights.

    The versions applied, oldest first; none if up to date. Raises `MigrationError` and
    `RolesError`; what was applied before stays.
    """
    migrations = read_folder(folder)
    connection = await _connect(dsn)
    try:
        await _take_lock(connection)
        await connection.execute(LEDGER)
        applied = await _applied(connection)
        todo = _missing(migrations, applied)
        for migration in todo:
            await _apply(connection, migration)
            log.info("applied %s", migration.version)
        if app is not None and (changed := await equip(connection, app)):
            log.info("the role %s has its rights (%d tables)", app.name, len(changed))
        return [migration.version for migration in todo]
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationError(
            f"this role may not migrate ({error}): let the one that owns the tables do it "
            f"(TILLGATE_MIGRATE_DATABASE_URL)"
        ) from error
    finally:
        await connection.close()  # frees the lock too


async def pending(dsn: str, folder: Path = MIGRATIONS) -> list[str]:
    """The versions `migrate` would apply now; changes nothing."""
    migrations = read_folder(folder)
    connection = await _connect(dsn)
    try:
        known = await connection.fetchval("SELECT to_regclass('schema_migration')")
        applied = await _applied(connection) if known else {}
    finally:
        await connection.close()
    return [migration.version for migration in _missing(migrations, applied)]


def read_folder(folder: Path) -> list[Migration]:
    """All migrations of a folder, oldest first;
    two files with one number are refused (a merge went wrong).
    """
    migrations = [
        Migration(path.stem, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("[0-9]*.sql"))
    ]
    numbers: dict[str, str] = {}
    for migration in migrations:
        number = migration.version.split("_", 1)[0]
        if number in numbers:
            raise MigrationError(
                f"{numbers[number]}.sql and {migration.version}.sql have the same number: "
                f"rename the one not yet released"
            )
        numbers[number] = migration.version
    if not migrations:
        raise MigrationError(f"no migrations in {folder}: the installation is incomplete")
    return migrations


async def _connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    try:
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            dsn,
            server_settings={"lock_timeout": str(MIGRATION_TABLE_LOCK_WAIT_MS)},
            statement_cache_size=0,
        )
    except asyncpg.ProtocolViolationError as error:
        raise MigrationError(
            f"what answers is no PostgreSQL, or a pooler in front of one ({error}): "
            f"give it the address of PostgreSQL itself; docs/settings.md"
        ) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise MigrationError(
            f"cannot connect to PostgreSQL ({type(error).__name__}: {error}): "
            f"check that it runs and that TILLGATE_DATABASE_URL is right"
        ) from error
    version = int(await connection.fetchval("SELECT current_setting('server_version_num')"))
    if version < SERVER_VERSION_MIN:
        await connection.close()
        raise MigrationError(
            f"this PostgreSQL is version {version // 10_000}; "
            f"Tillgate needs {SERVER_VERSION_MIN // 10_000} or newer"
        )
    return connection


async def _take_lock(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    started = notice_at = time.monotonic()
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
        now = time.monotonic()
        if now - started > MIGRATION_LOCK_WAIT_S:
            raise MigrationError(
                f"another process has been migrating this database "
                f"for {MIGRATION_LOCK_WAIT_S:.0f} s: find it in pg_stat_activity (pg_locks, "
                f"locktype advisory), end it if it hangs, then run `tillgate migrate` again"
            )
        if now >= notice_at:
            log.info("another process is migrating this database; waiting for it")
            notice_at = now + MIGRATION_NOTICE_INTERVAL_S
        await asyncio.sleep(MIGRATION_LOCK_POLL_MS / 1000)


async def _applied(connection: asyncpg.Connection[asyncpg.Record]) -> dict[str, str]:
    rows = await connection.fetch("SELECT version, sha256 FROM schema_migration")
    return {row["version"]: row["sha256"] for row in rows}


def _missing(migrations: list[Migration], applied: dict[str, str]) -> list[Migration]:
    for migration in migrations:
        if applied.get(migration.version, migration.sha256) != migration.sha256:
            raise MigrationError(
                f"{migration.version}.sql was edited after it was applied: "
                f"restore the file and put the change into a new one"
            )
    return [migration for migration in migrations if migration.version not in applied]


async def _apply(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    try:
        if migration.sql.startswith(NO_TRANSACTION):
            for statement in split_statements(migration):
                await connection.execute(statement)
            await _record(connection, migration)
        else:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await _record(connection, migration)
    except asyncpg.PostgresError as error:
        raise MigrationError(_advice(migration, error)) from error


async def _record(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    await connection.execute(
        "INSERT INTO schema_migration (version, sha256) VALUES ($1, $2)",
        migration.version,
        migration.sha256,
    )


def split_statements(migration: Migration) -> list[str]:
    """The statements of a `-- no-transaction` file: each ends with `;` at the end of a line;
    function bodies are refused.
    """
    if "$$" in migration.sql:
        raise MigrationError(
            f"{migration.version}.sql is marked no-transaction and has a $$ body: "
            f"put the function into a file of its own"
        )
    return [statement.strip() for statement in migration.sql.split(";\n") if statement.strip()]


def _advice(migration: Migration, error: asyncpg.PostgresError) -> str:
    what = f"{migration.version}.sql failed: {error}"
    if isinstance(error, asyncpg.LockNotAvailableError):
        return (
            f"{what}. A long query holds the table: "
            f"nothing was changed, run `tillgate migrate` again when it has ended"
        )
    if migration.sql.startswith(NO_TRANSACTION):
        return (
            f"{what}. Earlier statements of this file stay; "
            f"drop an index it left invalid, then run `tillgate migrate` again"
        )
    return f"{what}. Nothing of this file was applied; earlier files stay"

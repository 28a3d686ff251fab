"""The real servers of the test session: one PostgreSQL without fsync and one Redis,
each in a short temporary folder.

A database for one test is a copy of a template that was migrated once per session. To make and drop
one costs PostgreSQL a few hundred milliseconds, so what a test gives back is emptied and used
again, under another name; one whose schema was changed is dropped. Its tables belong to
`tillgate_owner`, who is no superuser; tests are given the address of `tillgate_app`, as services
are, and ask for `owner_of` or `superuser_of` it where they do what a service may not. A guard
process ends the servers and removes their folders even when pytest itself is killed.
"""

import asyncio
import contextlib
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from gateway.embedded.data_folder import unsuitable
from gateway.embedded.postgres import USER, EmbeddedPostgres
from gateway.embedded.redis import EmbeddedRedis
from gateway.storage.schema.migrate import migrate
from gateway.storage.schema.roles import AppRole

TEMPLATE = "tillgate_template"
OWNER, APP = "tillgate_owner", "tillgate_app"


class DatabaseServer:
    """One running PostgreSQL and the databases made from its template."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._names = itertools.count(1)
        self._schema: str | None = None  # of the template, once that is made
        self._making = asyncio.Lock()
        self._emptied: list[str] = []  # names of databases that may be used again

    @property
    def dsn(self) -> str:
        """The maintenance database."""
        return self._server.dsn

    def dsn_of(self, database: str, role: str = APP) -> str:
        return self._server.dsn_of(database, role)

    async def empty_database(self) -> str:
        """DSN of a new database without any migration, as its owner."""
        await self._make_roles()
        name = f"empty_{next(self._names)}"
        await self._execute(f"CREATE DATABASE {name} OWNER {OWNER} STRATEGY file_copy")
        return self.dsn_of(name, OWNER)

    async def fresh_database(self) -> str:
        """DSN of a migrated database without a row, as the app."""
        async with self._making:
            if self._schema is None:
                await self._make_template()
        if self._emptied:
            return self.dsn_of(self._emptied.pop())
        name = self._new_name()
        # Rights on the database itself are not copied.
        await self._execute(
            f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {OWNER} STRATEGY file_copy",
            f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC",
        )
        return self.dsn_of(name)

    async def give_back(self, dsn: str) -> None:
        """The test has done with it: whoever is still connected is thrown out, and cannot come
        again, since the name is gone.
        """
        name = dsn.split("/")[3].split("?", maxsplit=1)[0]
        if await self._is_emptied(name):
            new = self._new_name()
            with contextlib.suppress(asyncpg.ObjectInUseError):
                await self._execute(f"ALTER DATABASE {name} RENAME TO {new}")
                self._emptied.append(new)
                return
        await self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def _is_emptied(self, name: str) -> bool:
        """False, with its rows, when a test changed its schema."""
        connection = await asyncpg.connect(self.dsn_of(name, USER))
        try:
            await connection.execute(THROW_OUT)
            schema = await connection.fetchval(SCHEMA)
            if schema is None or schema != self._schema:
                return False
            filled = await connection.fetch(await connection.fetchval(FILLED))
            if filled:
                tables = ", ".join(row["table"] for row in filled)
                guards = await connection.fetchval(GUARDED)
                await connection.execute(
                    f"""{guards.format("DISABLE")}
                    SET session_replication_role = replica;
                    TRUNCATE {tables} CASCADE;
                    {guards.format("ENABLE ALWAYS")}"""
                )
            if restarts := await connection.fetchval(COUNTED):
                await connection.execute(restarts)
            return True
        finally:
            await connection.close()

    async def _make_template(self) -> None:
        await self._make_roles()
        await self._execute(
            f"DROP DATABASE IF EXISTS {TEMPLATE}",  # a failed migration left it
            f"CREATE DATABASE {TEMPLATE} OWNER {OWNER} STRATEGY file_copy",
        )
        await migrate(self.dsn_of(TEMPLATE, OWNER), app=AppRole(APP))
        connection = await asyncpg.connect(self.dsn_of(TEMPLATE, USER))
        try:
            self._schema = await connection.fetchval(SCHEMA)
        finally:
            await connection.close()

    async def _make_roles(self) -> None:
        for role in (OWNER, APP):
            with contextlib.suppress(asyncpg.DuplicateObjectError):
                await self._execute(f"CREATE ROLE {role} LOGIN")

    def _new_name(self) -> str:
        return f"test_{next(self._names)}"

    async def _execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


THROW_OUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""

# Changes with every change of a table, a constraint, a trigger, a function, a right or a setting,
# and with no row. The file of a table, which a TRUNCATE changes, is left aside.
SCHEMA = """
SELECT md5(string_agg(mark, ' ' ORDER BY mark)) FROM (
  SELECT format('%s %s %s %s', relname, relkind, relacl, reloptions) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT format('%s %s %s', attrelid, attnum, xmin) FROM pg_attribute
    WHERE attrelid >= 16384
  UNION ALL SELECT format('%s %s', oid, xmin) FROM pg_constraint WHERE oid >= 16384
  UNION ALL SELECT format('%s %s', oid, xmin) FROM pg_proc WHERE oid >= 16384
  UNION ALL SELECT format('%s %s %s', oid, tgenabled, pg_get_triggerdef(oid)) FROM pg_trigger
    WHERE oid >= 16384
  UNION ALL SELECT setconfig::text FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) made (mark)
"""

# The text of a query for the tables that have rows.
FILLED = """
SELECT string_agg(format(
  'SELECT %L AS table WHERE EXISTS (SELECT FROM %s)', oid::regclass, oid::regclass), ' UNION ALL ')
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'schema_migration'
"""

# The text of statements for the counters that were used, by what was rolled back, too.
COUNTED = """
SELECT string_agg(format('ALTER SEQUENCE %I RESTART;', sequencename), ' ')
FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL
"""

# The text of statements that turn the guards of history off or on.
GUARDED = """
SELECT string_agg(format('ALTER TABLE %s {0} TRIGGER append_only;', tgrelid::regclass), ' ')
FROM pg_trigger WHERE tgname = 'append_only'
"""


def owner_of(dsn: str) -> str:
    """The same database as the role that migrates it."""
    return _as_role(dsn, OWNER)


def superuser_of(dsn: str) -> str:
    """The same database as a person who may do anything."""
    return _as_role(dsn, USER)


async def as_owner(dsn: str, sql: str, *arguments: object) -> None:
    """One statement that no service may run."""
    connection = await asyncpg.connect(owner_of(dsn))
    try:
        await connection.execute(sql, *arguments)
    finally:
        await connection.close()


def _as_role(dsn: str, role: str) -> str:
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}"))


@contextlib.contextmanager
def postgres_server() -> Iterator[DatabaseServer]:
    """A PostgreSQL without fsync, gone with its folder at the end."""
    with temporary_root() as root:
        server = EmbeddedPostgres(root / "pg", durable=False)
        server.start()
        with _guarded(server.data / "postmaster.pid", root):
            try:
                yield DatabaseServer(server)
            finally:
                server.stop()


async def fresh_database(server: DatabaseServer) -> str:
    """DSN of a new, migrated database of `server`."""
    return await server.fresh_database()


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """URL of a Redis that keeps nothing, gone with its folder at the end."""
    with temporary_root() as root:
        server = EmbeddedRedis(root / "redis", durable=False)
        url = server.start()
        with _guarded(server.pid_file, root):
            try:
                yield url
            finally:
                server.stop()


@contextlib.contextmanager
def temporary_root() -> Iterator[Path]:
    """A folder with a short path that the servers' user can enter;
    pytest's own tmp_path is long and private.
    """
    parent = next(
        path
        for path in (tempfile.gettempdir(), "/tmp")
        if not unsuitable(Path(path) / "tg-12345678/pg")
    )
    root = Path(tempfile.mkdtemp(prefix="tg-", dir=parent))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


GUARD = """
read -r line
if [ "$line" != done ]; then
  kill -INT "$(head -n 1 "$1")" 2>/dev/null
  while kill -0 "$(head -n 1 "$1" 2>/dev/null)" 2>/dev/null; do sleep 0.1; done
  rm -rf -- "$2"
fi
"""


@contextlib.contextmanager
def _guarded(pid_file: Path, root: Path) -> Iterator[None]:
    """A shell that waits on a pipe to us: a word means all is well,
    its sudden end means that we were killed.
    """
    guard = subprocess.Popen(
        ["sh", "-c", GUARD, "guard", pid_file, root], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield
    finally:
        guard.communicate(b"done\n")

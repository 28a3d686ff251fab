"""The real servers of the test session: one PostgreSQL without fsync and one Redis,
each in a short temporary folder.

A database for one test is a copy of a template that was migrated once per session: about 20 ms,
whatever the number of migrations. Its tables belong to `tillgate_owner`, who is no superuser; tests
are given the address of `tillgate_app`, as services are, and ask for `owner_of` or `superuser_of`
it where they do what a service may not. A guard process ends the servers and removes their folders
even when pytest itself is killed.
"""

import asyncio
import contextlib
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
    """One running PostgreSQL and the number of databases made from its template."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._made = 0
        self._template_ready = False
        self._making = asyncio.Lock()

    @property
    def dsn(self) -> str:
        """The maintenance database."""
        return self._server.dsn

    def dsn_of(self, database: str, role: str = APP) -> str:
        return self._server.dsn_of(database, role)

    async def empty_database(self) -> str:
        """DSN of a new database without any migration, as its owner."""
        await self._make_roles()
        self._made += 1
        name = f"empty_{self._made}"
        await self._execute(f"CREATE DATABASE {name} OWNER {OWNER} STRATEGY file_copy")
        return self.dsn_of(name, OWNER)

    async def fresh_database(self) -> str:
        """DSN of a new, migrated database, as the app."""
        async with self._making:
            if not self._template_ready:
                await self._make_template()
            self._made += 1
            name = f"test_{self._made}"
            # Rights on the database itself are not copied.
            await self._execute(
                f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {OWNER} STRATEGY file_copy",
                f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC",
            )
        return self.dsn_of(name)

    async def _make_template(self) -> None:
        await self._make_roles()
        await self._execute(
            f"DROP DATABASE IF EXISTS {TEMPLATE}",  # a failed migration left it
            f"CREATE DATABASE {TEMPLATE} OWNER {OWNER} STRATEGY file_copy",
        )
        await migrate(self.dsn_of(TEMPLATE, OWNER), app=AppRole(APP))
        self._template_ready = True

    async def _make_roles(self) -> None:
        for role in (OWNER, APP):
            with contextlib.suppress(asyncpg.DuplicateObjectError):
                await self._execute(f"CREATE ROLE {role} LOGIN")

    async def drop(self, dsn: str) -> None:
        """Remove a database and whatever is still connected to it."""
        name = dsn.split("/")[3].split("?", maxsplit=1)[0]
        await self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def _execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


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

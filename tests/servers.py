"""The real servers of the test session: one PostgreSQL without fsync and one Redis,
each in a short temporary folder.

A database for one test is a copy of a template that was migrated once per session: about 20 ms,
whatever the number of migrations. A guard process ends the servers and removes their folders even
when pytest itself is killed.
"""

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from gateway.embedded.data_folder import unsuitable
from gateway.embedded.postgres import EmbeddedPostgres
from gateway.embedded.redis import EmbeddedRedis
from gateway.storage.schema.migrate import migrate

TEMPLATE = "tillgate_template"


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

    def dsn_of(self, database: str) -> str:
        return self._server.dsn_of(database)

    async def empty_database(self) -> str:
        """DSN of a new database without any migration."""
        self._made += 1
        name = f"empty_{self._made}"
        await self._execute(f"CREATE DATABASE {name} STRATEGY file_copy")
        return self.dsn_of(name)

    async def fresh_database(self) -> str:
        """DSN of a new, migrated database."""
        async with self._making:
            if not self._template_ready:
                # A failed migration left it.
                await self._execute(f"DROP DATABASE IF EXISTS {TEMPLATE}")
                await self._execute(f"CREATE DATABASE {TEMPLATE} STRATEGY file_copy")
                await migrate(self.dsn_of(TEMPLATE))
                self._template_ready = True
            self._made += 1
            name = f"test_{self._made}"
            await self._execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
        return self.dsn_of(name)

    async def drop(self, dsn: str) -> None:
        """Remove a database and whatever is still connected to it."""
        name = dsn.split("/")[3].split("?", maxsplit=1)[0]
        await self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


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

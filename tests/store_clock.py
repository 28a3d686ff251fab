"""The store's own clock in the hands of a test.

PostgreSQL looks a function up along the search path: a schema before `pg_catalog` that has a
`now()` and a `clock_timestamp()` of its own is asked in place of the server. So the statements are
the product's, and a moment is what the test says.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from gateway.clock import SystemClock
from tests.servers import owner_of

OWN_TIME = """
CREATE SCHEMA told;
CREATE TABLE told.moment (at timestamptz NOT NULL);
CREATE FUNCTION told.now() RETURNS timestamptz LANGUAGE sql STABLE
  AS $$ SELECT coalesce((SELECT at FROM told.moment), pg_catalog.now()) $$;
CREATE FUNCTION told.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
  AS $$ SELECT coalesce((SELECT at FROM told.moment), pg_catalog.clock_timestamp()) $$;
GRANT USAGE ON SCHEMA told TO PUBLIC;
GRANT SELECT ON told.moment TO PUBLIC;
ALTER DATABASE "{name}" SET search_path = told, pg_catalog, public;
"""
SERVERS_TIME = """
ALTER DATABASE "{name}" RESET search_path;
DROP SCHEMA told CASCADE;
"""


class MemoryClock:
    """Of a store in memory: give it `now`."""

    def __init__(self) -> None:
        self.moment: datetime | None = None

    def now(self) -> datetime:
        return self.moment or SystemClock().now()

    async def stand_at(self, moment: datetime) -> None:
        self.moment = moment


class ServerClock:
    """Of one database; made before the store connects to it."""

    def __init__(self, connection: asyncpg.Connection[Any], name: str) -> None:
        self._connection, self._name = connection, name

    @classmethod
    async def of(cls, dsn: str) -> ServerClock:
        connection = await asyncpg.connect(owner_of(dsn))
        name = urlsplit(dsn).path.removeprefix("/")
        await connection.execute(OWN_TIME.format(name=name))
        return cls(connection, name)

    async def stand_at(self, moment: datetime) -> None:
        await self._connection.execute("DELETE FROM told.moment")
        await self._connection.execute("INSERT INTO told.moment VALUES ($1)", moment)

    async def close(self) -> None:
        """Once no store reads it any more. The next test's database has the server's time."""
        await self._connection.execute(SERVERS_TIME.format(name=self._name))
        await self._connection.close()

"""The worker's sign of life, over a connection of its own:
busy readers must not make a worker look dead.

A beat needs no durability (whoever crashed with the server is taken over rightly), so it does not
wait for the disk.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import asyncpg

from gateway.domain.errors import StoreUnavailable
from gateway.limits import HEARTBEAT_TIMEOUT_MS
from gateway.storage.connections import REPLY_LOST, UNREACHABLE, connect, discard

BEAT = """INSERT INTO worker (id, beat_at) VALUES ($1, coalesce($2, clock_timestamp()))
ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at RETURNING clock_timestamp() AS now"""


class Heart:
    """One connection; a beat that hangs gives it up, and the next beat opens another."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection[Any] | None = None

    async def beat(self, worker_id: str, at: datetime | None = None) -> datetime:
        """See `gateway.flow.ports.Store.beat`."""
        try:
            async with asyncio.timeout(HEARTBEAT_TIMEOUT_MS / 1000):
                connection = await self._connected()
                row = await connection.fetchrow(BEAT, worker_id, at)
        except (*UNREACHABLE, *REPLY_LOST, asyncpg.PostgresError) as error:
            await self.close()
            raise StoreUnavailable from error
        except asyncio.CancelledError:
            await self.close()
            raise
        assert row is not None
        now: datetime = row["now"]
        return now

    async def close(self) -> None:
        """Let the connection go."""
        connection, self._connection = self._connection, None
        await discard(connection)

    async def _connected(self) -> asyncpg.Connection[Any]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._dsn)
            await self._connection.execute("SET synchronous_commit = off")
        return self._connection

"""One connection for one small, regular duty: busy readers must not make it wait."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from gateway.domain.errors import StoreUnavailable
from gateway.storage.connections import REPLY_LOST, UNREACHABLE, connect, discard


class OwnConnection:
    """Opened when it is first needed. A statement that fails or hangs gives it up, and the next one
    opens another. One statement at a time.
    """

    def __init__(self, dsn: str, *, timeout_ms: int, settings: str = "") -> None:
        self._dsn, self._timeout_s, self._settings = dsn, timeout_ms / 1000, settings
        self._connection: asyncpg.Connection[Any] | None = None

    async def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Raises `StoreUnavailable`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._connected()
                return await connection.fetch(sql, *arguments)
        except (*UNREACHABLE, *REPLY_LOST, asyncpg.PostgresError) as error:
            await self.close()
            raise StoreUnavailable from error
        except asyncio.CancelledError:
            await self.close()
            raise

    async def close(self) -> None:
        """Let the connection go."""
        connection, self._connection = self._connection, None
        await discard(connection)

    async def _connected(self) -> asyncpg.Connection[Any]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._dsn)
            if self._settings:
                await self._connection.execute(self._settings)
        return self._connection

"""One way to read: a short statement on a pooled connection,
with the server's absence told as `StoreUnavailable`.
"""

from __future__ import annotations

from typing import Any

import asyncpg

from gateway.domain.errors import StoreUnavailable
from gateway.storage.connections import (
    ANSWER_TIMEOUT_S,
    GAVE_UP,
    ONLY_READS,
    REPLY_LOST,
    UNREACHABLE,
)


class Reader:
    """Holds the pool. Reads and one-row writes that no payment's version guards."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    async def _fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            # Nobody queues for ever behind a server that hangs.
            async with self._pool.acquire(timeout=ANSWER_TIMEOUT_S) as connection:
                try:
                    return await connection.fetch(sql, *arguments)
                except ONLY_READS:
                    connection.terminate()
                    raise
        except (*UNREACHABLE, *REPLY_LOST, *GAVE_UP) as error:
            raise StoreUnavailable from error

    async def _row(self, sql: str, *arguments: object) -> asyncpg.Record | None:
        rows = await self._fetch(sql, *arguments)
        return rows[0] if rows else None

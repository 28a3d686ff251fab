"""One way to read: a short statement on a pooled connection, with the server's absence told as `StoreUnavailable`."""

from __future__ import annotations

from typing import Any

import asyncpg

from gateway.domain.errors import StoreUnavailable
from gateway.storage.connections import REPLY_LOST, UNREACHABLE


class Reader:
    """Holds the pool. Reads and one-row writes that no payment's version guards."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    async def _fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            return await self._pool.fetch(sql, *arguments)
        except (*UNREACHABLE, *REPLY_LOST, asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError) as error:
            raise StoreUnavailable from error

    async def _row(self, sql: str, *arguments: object) -> asyncpg.Record | None:
        rows = await self._fetch(sql, *arguments)
        return rows[0] if rows else None

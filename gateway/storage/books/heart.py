"""The worker's sign of life.

A beat needs no durability (a worker that crashed with the server is taken over rightly), so it does
not wait for the disk.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

import asyncpg

from gateway.domain.words import DayRule, Numbering
from gateway.limits import HEARTBEAT_LEASE_MS, HEARTBEAT_TIMEOUT_MS
from gateway.storage.own_connection import OwnConnection

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"

LIVING = """SELECT id, started_at, knows FROM worker
WHERE beat_at > clock_timestamp() - $1::interval ORDER BY started_at, id"""
BEAT = """INSERT INTO worker (id, beat_at, knows) VALUES ($1, clock_timestamp(), $2::text[])
ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at RETURNING clock_timestamp() AS now"""
NUMBERING_BY_STORE = f"numbering/{Numbering.BY_STORE:d}"
DAYS_BY_SUCCESS = f"days/{DayRule.BY_SUCCESS:d}"
RULES: Final = (NUMBERING_BY_STORE, DAYS_BY_SUCCESS)  # a row is made by one when all know it


class LivingWorker(NamedTuple):
    """One that shows signs of life. `knows`: see `Heart`; None: its release does not say."""

    id: str
    started_at: datetime
    knows: list[str] | None

    def knows_all(self, words: Collection[str]) -> bool:
        """Whether it said each of them."""
        return set(words) <= set(self.knows or ())


async def read_living(
    connection: Connection, silent_ms: int = HEARTBEAT_LEASE_MS
) -> list[LivingWorker]:
    """The workers that have shown a sign of life within `silent_ms`, oldest first."""
    rows = await connection.fetch(LIVING, timedelta(milliseconds=silent_ms))
    return [LivingWorker(*row) for row in rows]


class Heart:
    """Over a connection of its own: busy readers must not make a worker look dead.

    `knows`: what this process can open and compute, as words, for those who decide what may be
    written while it lives (see `security.vault.Vault.knows`).
    """

    def __init__(self, dsn: str, knows: Collection[str] = ()) -> None:
        self._knows = sorted((*knows, *RULES))
        self._connection = OwnConnection(
            dsn, timeout_ms=HEARTBEAT_TIMEOUT_MS, settings="SET synchronous_commit = off"
        )

    async def beat(self, worker_id: str) -> datetime:
        """See `gateway.flow.ports.Store.beat`."""
        (row,) = await self._connection.fetch(BEAT, worker_id, self._knows)
        now: datetime = row["now"]
        return now

    async def close(self) -> None:
        """Let the connection go."""
        await self._connection.close()

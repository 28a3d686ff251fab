"""The worker's sign of life.

A beat needs no durability (a worker that crashed with the server is taken over rightly), so it does
not wait for the disk.
"""

from __future__ import annotations

from datetime import datetime

from gateway.limits import HEARTBEAT_TIMEOUT_MS
from gateway.storage.own_connection import OwnConnection

BEAT = """INSERT INTO worker (id, beat_at) VALUES ($1, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at RETURNING clock_timestamp() AS now"""


class Heart:
    """Over a connection of its own: busy readers must not make a worker look dead."""

    def __init__(self, dsn: str) -> None:
        self._connection = OwnConnection(
            dsn, timeout_ms=HEARTBEAT_TIMEOUT_MS, settings="SET synchronous_commit = off"
        )

    async def beat(self, worker_id: str) -> datetime:
        """See `gateway.flow.ports.Store.beat`."""
        (row,) = await self._connection.fetch(BEAT, worker_id)
        now: datetime = row["now"]
        return now

    async def close(self) -> None:
        """Let the connection go."""
        await self._connection.close()

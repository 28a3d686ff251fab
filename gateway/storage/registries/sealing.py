"""Registries that keep secrets: what they seal, every living worker can open."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import asyncpg

from gateway.clock import Ids
from gateway.domain.audit import AskedBy
from gateway.limits import HEARTBEAT_LEASE_MS
from gateway.storage.registries.acts import Acting, Connection
from security.vault import About, Seal, Vault

LIVING = """SELECT id, started_at, knows FROM worker
WHERE beat_at > clock_timestamp() - $1::interval ORDER BY started_at, id"""


class LivingWorker(NamedTuple):
    """One that shows signs of life. `knows`: see `Vault.knows`; None: its release does not say."""

    id: str
    started_at: datetime
    knows: list[str] | None


class SealingRegistry(Acting):
    """Holds the vault, and makes new ids."""

    def __init__(
        self, pool: asyncpg.Pool[Any], *, vault: Vault, ids: Ids, asked_by: AskedBy
    ) -> None:
        super().__init__(pool, asked_by=asked_by)
        self._vault = vault
        self._ids = ids

    async def living(self) -> list[LivingWorker]:
        """The workers that show signs of life, oldest first."""
        rows = await self._fetch(LIVING, timedelta(milliseconds=HEARTBEAT_LEASE_MS))
        return [LivingWorker(*row) for row in rows]

    async def _sealed(self, connection: Connection, plaintext: bytes, about: About) -> bytes:
        """Raises NoCommonSeal."""
        return self._vault.seal(plaintext, about=about, as_=await self._seal(connection))

    async def _seal(self, connection: Connection) -> Seal:
        rows = await connection.fetch(LIVING, timedelta(milliseconds=HEARTBEAT_LEASE_MS))
        return self._vault.agreed(row["knows"] for row in rows)

"""Registries that keep secrets: what they seal, every living worker can open."""

from __future__ import annotations

from typing import Any

import asyncpg

from gateway.clock import Ids
from gateway.domain.audit import AskedBy
from gateway.storage.books.heart import read_living
from gateway.storage.registries.acts import Acting, Connection
from security.vault import About, Seal, Vault


class SealingRegistry(Acting):
    """Holds the vault, and makes new ids."""

    def __init__(
        self, pool: asyncpg.Pool[Any], *, vault: Vault, ids: Ids, asked_by: AskedBy
    ) -> None:
        super().__init__(pool, asked_by=asked_by)
        self._vault = vault
        self._ids = ids

    async def _sealed(self, connection: Connection, plaintext: bytes, about: About) -> bytes:
        """Raises NoCommonSeal."""
        return self._vault.seal(plaintext, about=about, as_=await self._seal(connection))

    async def _seal(self, connection: Connection) -> Seal:
        return self._vault.agreed(worker.knows for worker in await read_living(connection))

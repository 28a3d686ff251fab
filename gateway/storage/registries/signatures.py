"""Signatures that have acted: `gateway.http.exchange.SignatureBook` on PostgreSQL.

Rare, and each is one statement. The database decides which of two equal requests was first.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import asyncpg

from gateway.edge_limits import SIGNATURE_KEPT_S
from gateway.storage.reader import Reader

TAKE = """WITH old AS (
    DELETE FROM signature_used WHERE used_at < clock_timestamp() - $4::interval
)
INSERT INTO signature_used (signature, key_id, merchant_id) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING RETURNING true"""
ANSWERED = """SELECT status, body FROM signature_used
WHERE signature = $1 AND key_id = $2 AND merchant_id = $3"""
KEEP = """UPDATE signature_used SET status = $4, body = $5
WHERE signature = $1 AND key_id = $2 AND merchant_id = $3"""
FORGET = "DELETE FROM signature_used WHERE signature = $1 AND key_id = $2 AND merchant_id = $3"


class PostgresSignatures(Reader):
    """See the port. `owner`: (merchant, key)."""

    def __init__(self, pool: asyncpg.Pool[Any], kept_s: float = SIGNATURE_KEPT_S) -> None:
        super().__init__(pool)
        self._kept = timedelta(seconds=kept_s)

    async def take(self, owner: tuple[str, str], sig: str) -> bool:
        """See the port."""
        return await self._row(TAKE, *_key(owner, sig), self._kept) is not None

    async def answer(self, owner: tuple[str, str], sig: str) -> tuple[int, bytes] | None:
        """See the port."""
        row = await self._row(ANSWERED, *_key(owner, sig))
        return None if row is None or row["status"] is None else (row["status"], row["body"])

    async def keep(self, owner: tuple[str, str], sig: str, status: int, body: bytes) -> None:
        """See the port."""
        await self._fetch(KEEP, *_key(owner, sig), status, body)

    async def forget(self, owner: tuple[str, str], sig: str) -> None:
        """See the port."""
        await self._fetch(FORGET, *_key(owner, sig))


def _key(owner: tuple[str, str], sig: str) -> tuple[bytes, str, str]:
    merchant_id, key_id = owner
    return hashlib.sha256(sig.encode()).digest(), key_id, merchant_id

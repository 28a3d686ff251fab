"""API keys, written.

A key is shown once, when it is issued; it is never deleted, only revoked: old payments name it. The
service takes a change over with the next refresh of its directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from gateway.clock import Ids
from gateway.domain.audit import Act, AskedBy
from gateway.limits import LIVE_KEYS_MAX, LIVE_TERMINAL_KEYS_MAX
from gateway.storage.registries.acts import Connection, RegistryError
from gateway.storage.registries.credentials import key_about
from gateway.storage.registries.sealing import SealingRegistry
from security.key_material import KeyEnvironment, KeyKind, new_key_id, new_secret
from security.roles import Role
from security.secret import Secret
from security.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyListing:
    """An API key without its secret.

    Terminal keys have a store and a terminal, merchant keys neither. `environment` None: from
    before it was kept; its secret's prefix says it. `used_at`: to the minute.
    """

    id: str
    merchant_id: str
    store_id: str | None
    terminal_id: str | None
    role: str
    environment: str | None
    created_at: datetime
    revoked_at: datetime | None
    used_at: datetime | None
    refund_max: int | None  # fen; None: the role's
    refund_day_max: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A new key: the only moment its secret can be read."""

    id: str
    secret: Secret
    role: str


_KEY = """SELECT k.id, k.merchant_id, k.store_id, k.terminal_id, k.role, k.environment,
  k.created_at, k.revoked_at, u.used_at, k.refund_max, k.refund_day_max
FROM api_key k LEFT JOIN api_key_use u ON u.key_id = k.id"""
KEYS = f"""{_KEY} WHERE k.merchant_id = $1 AND ($2::text IS NULL OR k.terminal_id = $2)
ORDER BY k.created_at, k.id"""
KEY = f"{_KEY} WHERE k.id = $1"
LIMIT = "UPDATE api_key SET refund_max = $2, refund_day_max = $3 WHERE id = $1"
LIVE_KEYS = (
    "SELECT count(*) FROM api_key WHERE merchant_id = $1 AND terminal_id IS NOT DISTINCT FROM $2 "
    "AND revoked_at IS NULL"
)
NEW_KEY = (
    "INSERT INTO api_key (id, merchant_id, store_id, terminal_id, role, environment, sealed) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7)"
)
REVOKE = (
    "UPDATE api_key SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL "
    "RETURNING merchant_id"
)


class KeyRegistry(SealingRegistry):
    """Keys on PostgreSQL.

    `takes_test_keys`: whether this installation listens to keys for sandbox channels.
    """

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        *,
        vault: Vault,
        ids: Ids,
        asked_by: AskedBy,
        takes_test_keys: bool = True,
    ) -> None:
        super().__init__(pool, vault=vault, ids=ids, asked_by=asked_by)
        self._takes_test_keys = takes_test_keys

    async def issue_terminal_key(
        self,
        merchant_id: str,
        terminal_id: str,
        environment: KeyEnvironment,
        *,
        beside: str | None = None,
    ) -> IssuedKey:
        """A key for one till. At most two may live at once: the one in use and its successor.

        `beside`: the key that it is to replace.
        """
        async with self._acting(f"terminal {terminal_id}") as connection:
            row = await connection.fetchrow(
                "SELECT store_id FROM terminal WHERE merchant_id = $1 AND id = $2 FOR UPDATE",
                merchant_id,
                terminal_id,
            )
            if row is None:
                raise RegistryError(
                    f"merchant {merchant_id} has no terminal {terminal_id}: "
                    f"`tillgate terminal list` shows what there is"
                )
            live = await connection.fetchval(LIVE_KEYS, merchant_id, terminal_id)
            if live >= LIVE_TERMINAL_KEYS_MAX:
                raise RegistryError(
                    f"terminal {terminal_id} has {LIVE_TERMINAL_KEYS_MAX} live keys: "
                    f"revoke the one no longer in use (`tillgate key list`)"
                )
            rights = _Rights(merchant_id, row["store_id"], terminal_id, Role.TERMINAL, environment)
            return await self._issue(connection, KeyKind.TERMINAL, rights, beside)

    async def issue_merchant_key(
        self,
        merchant_id: str,
        role: Role,
        environment: KeyEnvironment,
        *,
        beside: str | None = None,
    ) -> IssuedKey:
        """A key for a merchant's server or for a person at it."""
        if role is Role.TERMINAL:
            raise RegistryError("a terminal's key belongs to a terminal: name it with --terminal")
        async with self._acting(f"merchant {merchant_id}") as connection:
            lock = "SELECT id FROM merchant WHERE id = $1 FOR UPDATE"
            if await connection.fetchval(lock, merchant_id) is None:
                raise RegistryError(
                    f"there is no merchant {merchant_id}: "
                    f"`tillgate merchant list` shows what there is"
                )
            if await connection.fetchval(LIVE_KEYS, merchant_id, None) >= LIVE_KEYS_MAX:
                raise RegistryError(
                    f"merchant {merchant_id} has {LIVE_KEYS_MAX} live keys: "
                    f"revoke those no longer in use"
                )
            rights = _Rights(merchant_id, None, None, role, environment)
            return await self._issue(connection, KeyKind.MERCHANT, rights, beside)

    async def rotate_key(self, key_id: str, environment: KeyEnvironment) -> IssuedKey:
        """A second key for the same holder; the first lives on until it is revoked."""
        old = await self.key(key_id)
        if old.revoked_at is not None:
            raise RegistryError(f"key {key_id} is revoked: issue a new one instead")
        new = (
            await self.issue_terminal_key(
                old.merchant_id, old.terminal_id, environment, beside=key_id
            )
            if old.terminal_id is not None
            else await self.issue_merchant_key(
                old.merchant_id, Role(old.role), environment, beside=key_id
            )
        )
        # Before its secret is told: a key that nobody can use yet has the role's limits.
        if (old.refund_max, old.refund_day_max) != (None, None):
            await self.limit_refunds(new.id, old.refund_max, old.refund_day_max)
        return new

    async def limit_refunds(self, key_id: str, each: int | None, day: int | None) -> None:
        """What the key gives back, in fen; None: as its role."""
        before = await self.key(key_id)
        async with self._acting(f"key {key_id}") as connection:
            await connection.execute(LIMIT, key_id, each, day)
            await self._record(
                connection,
                Act.KEY_LIMIT,
                key_id,
                merchant_id=before.merchant_id,
                before={"refund_max": before.refund_max, "refund_day_max": before.refund_day_max},
                after={"refund_max": each, "refund_day_max": day},
            )

    async def revoke_key(self, key_id: str) -> None:
        """End a key; every worker refuses it within one refresh of its directory."""
        async with self._acting(f"key {key_id}") as connection:
            merchant_id = await connection.fetchval(REVOKE, key_id)
            if merchant_id is not None:
                await self._record(connection, Act.KEY_REVOKE, key_id, merchant_id=merchant_id)
                return
        found = await self.key(key_id)
        raise RegistryError(
            f"key {key_id} was revoked already, at {found.revoked_at:%Y-%m-%d %H:%M:%S} UTC"
        )

    async def key(self, key_id: str) -> KeyListing:
        """One key."""
        row = await self._row(KEY, key_id)
        if row is None:
            raise RegistryError(
                f"there is no key {key_id}: `tillgate key list` shows what there is"
            )
        return KeyListing(**dict(row))

    async def keys(self, merchant_id: str, terminal_id: str | None = None) -> list[KeyListing]:
        """A merchant's keys, revoked ones included, oldest first."""
        return [
            KeyListing(**dict(row)) for row in await self._fetch(KEYS, merchant_id, terminal_id)
        ]

    async def _issue(
        self, connection: Connection, kind: KeyKind, rights: _Rights, beside: str | None
    ) -> IssuedKey:
        if rights.environment is KeyEnvironment.TEST and not self._takes_test_keys:
            raise RegistryError(
                "this installation takes no test keys, so a secret that begins with sk_test_ would "
                "never be heard: issue it without --test, or set TILLGATE_TEST_KEYS=yes"
            )
        key_id, secret = new_key_id(kind), new_secret(rights.environment)
        about = key_about(key_id, **rights._asdict())
        sealed = await self._sealed(connection, secret.reveal().encode(), about)
        await connection.execute(NEW_KEY, key_id, *rights, sealed)
        act = Act.KEY_ISSUE if beside is None else Act.KEY_ROTATE
        made = {name: value for name, value in rights._asdict().items() if value is not None}
        await self._record(
            connection,
            act,
            key_id,
            merchant_id=rights.merchant_id,
            before={"key": beside} if beside else None,
            after=made,
        )
        return IssuedKey(id=key_id, secret=secret, role=rights.role.value)


class _Rights(NamedTuple):
    """In the order of the table's columns."""

    merchant_id: str
    store_id: str | None
    terminal_id: str | None
    role: Role
    environment: KeyEnvironment

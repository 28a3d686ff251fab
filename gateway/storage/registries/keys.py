"""API keys, written: issued, rotated, limited, revoked.

A key is sealed with everything it may do (`credentials.KEY_RIGHTS`): what may be changed later is
changed by sealing it anew.
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
from gateway.storage.registries.credentials import KEY_RIGHTS, key_about
from gateway.storage.registries.sealing import SealingRegistry
from security.errors import SecurityError
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
LIMIT = "UPDATE api_key SET refund_max = $2, refund_day_max = $3, sealed = $4 WHERE id = $1"
SEALED = f"SELECT {', '.join(KEY_RIGHTS)}, sealed FROM api_key WHERE id = $1 FOR UPDATE"
LIVE_KEYS = (
    "SELECT count(*) FROM api_key WHERE merchant_id = $1 AND terminal_id IS NOT DISTINCT FROM $2 "
    "AND revoked_at IS NULL"
)
NEW_KEY = (
    f"INSERT INTO api_key (id, {', '.join(KEY_RIGHTS)}, sealed) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
)
REVOKE = (
    "UPDATE api_key SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL "
    "RETURNING merchant_id"
)


class KeyRegistry(SealingRegistry):
    """Keys of tills and of merchants.

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
        beside: KeyListing | None = None,
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
            rights = _Rights(
                merchant_id,
                row["store_id"],
                terminal_id,
                Role.TERMINAL,
                environment,
                *_limits(beside),
            )
            return await self._issue(connection, KeyKind.TERMINAL, rights, beside)

    async def issue_merchant_key(
        self,
        merchant_id: str,
        role: Role,
        environment: KeyEnvironment,
        *,
        beside: KeyListing | None = None,
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
            rights = _Rights(merchant_id, None, None, role, environment, *_limits(beside))
            return await self._issue(connection, KeyKind.MERCHANT, rights, beside)

    async def rotate_key(self, key_id: str, environment: KeyEnvironment) -> IssuedKey:
        """A second key for the same holder, with the same limits; the first lives on until it is
        revoked.
        """
        old = await self.key(key_id)
        if old.revoked_at is not None:
            raise RegistryError(f"key {key_id} is revoked: issue a new one instead")
        return (
            await self.issue_terminal_key(old.merchant_id, old.terminal_id, environment, beside=old)
            if old.terminal_id is not None
            else await self.issue_merchant_key(
                old.merchant_id, Role(old.role), environment, beside=old
            )
        )

    async def limit_refunds(self, key_id: str, each: int | None, day: int | None) -> None:
        """What the key gives back, in fen; None: as its role. It is sealed anew, with them."""
        async with self._acting(f"key {key_id}") as connection:
            row = await connection.fetchrow(SEALED, key_id)
            if row is None:
                raise _no_key(key_id)
            rights = {name: row[name] for name in KEY_RIGHTS}
            limits = {"refund_max": each, "refund_day_max": day}
            before, after = key_about(key_id, **rights), key_about(key_id, **(rights | limits))
            try:
                secret = self._vault.open(row["sealed"], about=before)
            except SecurityError as error:
                raise RegistryError(f"key {key_id} cannot be sealed anew: {error}") from error
            sealed = await self._sealed(connection, secret, after)
            await connection.execute(LIMIT, key_id, each, day, sealed)
            await self._record(
                connection,
                Act.KEY_LIMIT,
                key_id,
                merchant_id=row["merchant_id"],
                before={name: row[name] for name in limits},
                after=limits,
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
            raise _no_key(key_id)
        return KeyListing(**dict(row))

    async def keys(self, merchant_id: str, terminal_id: str | None = None) -> list[KeyListing]:
        """A merchant's keys, revoked ones included, oldest first."""
        return [
            KeyListing(**dict(row)) for row in await self._fetch(KEYS, merchant_id, terminal_id)
        ]

    async def _issue(
        self, connection: Connection, kind: KeyKind, rights: _Rights, beside: KeyListing | None
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
            before={"key": beside.id} if beside else None,
            after=made,
        )
        return IssuedKey(id=key_id, secret=secret, role=rights.role.value)


class _Rights(NamedTuple):
    """KEY_RIGHTS of a key that is issued."""

    merchant_id: str
    store_id: str | None
    terminal_id: str | None
    role: Role
    environment: KeyEnvironment
    refund_max: int | None
    refund_day_max: int | None


def _limits(beside: KeyListing | None) -> tuple[int | None, int | None]:
    """A new key has its role's."""
    return (None, None) if beside is None else (beside.refund_max, beside.refund_day_max)


def _no_key(key_id: str) -> RegistryError:
    return RegistryError(f"there is no key {key_id}: `tillgate key list` shows what there is")

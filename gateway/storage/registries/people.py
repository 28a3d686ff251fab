"""Who may ask, written: merchants, stores, terminals and API keys.

Channel accounts stand in account_registry.py.

Everything here is rare, for people and scripts; the service itself reads the same rows through
directory.py, within one refresh. Nothing is ever deleted: a key is revoked, an account disabled,
because old payments still name them.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg

from gateway.clock import Ids
from gateway.domain.errors import StoreUnavailable
from gateway.limits import LIVE_KEYS_MAX, LIVE_TERMINAL_KEYS_MAX, REFERENCE_CHARS_MAX
from gateway.storage.connections import REPLY_LOST, UNREACHABLE
from gateway.storage.reader import Reader
from gateway.storage.registries.credentials import key_about
from security.key_material import KeyEnvironment, KeyKind, new_key_id, new_secret
from security.roles import Role
from security.secret import Secret
from security.vault import Vault

NAME_CHARS_MAX: Final = 100


class RegistryError(ValueError):
    """The change is refused; the text says why and what to do. Nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """A tenant."""

    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopStore:
    """One shop of a merchant. `overrides_allowed`: a supervisor may let another payment in."""

    merchant_id: str
    id: str
    name: str
    created_at: datetime
    overrides_allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """A till."""

    merchant_id: str
    id: str
    store_id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyListing:
    """An API key without its secret.

    Terminal keys have a store and a terminal, merchant keys neither.
    """

    id: str
    merchant_id: str
    store_id: str | None
    terminal_id: str | None
    role: str
    created_at: datetime
    revoked_at: datetime | None
    refund_max: int | None  # fen; None: the role's
    refund_day_max: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A new key: the only moment its secret can be read."""

    id: str
    secret: Secret
    role: str


_KEY = (
    "SELECT id, merchant_id, store_id, terminal_id, role, created_at, revoked_at, refund_max, "
    "refund_day_max FROM api_key"
)
KEYS = f"""{_KEY}
WHERE merchant_id = $1 AND ($2::text IS NULL OR terminal_id = $2) ORDER BY created_at, id"""
KEY = f"{_KEY} WHERE id = $1"
LIMIT = "UPDATE api_key SET refund_max = $2, refund_day_max = $3 WHERE id = $1"
LIVE_KEYS = (
    "SELECT count(*) FROM api_key WHERE merchant_id = $1 AND terminal_id IS NOT DISTINCT FROM $2 "
    "AND revoked_at IS NULL"
)
NEW_KEY = (
    "INSERT INTO api_key (id, merchant_id, store_id, terminal_id, role, sealed) "
    "VALUES ($1, $2, $3, $4, $5, $6)"
)
REVOKE = "UPDATE api_key SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING id"
NEW_TERMINAL = (
    "INSERT INTO terminal (merchant_id, id, store_id, name) VALUES ($1, $2, $3, $4) RETURNING *"
)


class RegistryWriter(Reader):
    """What both registries need: the vault, new ids,
    and transactions whose failures are told in words.
    """

    def __init__(self, pool: asyncpg.Pool[Any], *, vault: Vault, ids: Ids) -> None:
        super().__init__(pool)
        self._vault = vault
        self._ids = ids

    @contextlib.asynccontextmanager
    async def _writing(self, thing: str) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy[Any]]:
        """One transaction about `thing`, named so in refusals."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                yield connection
        except asyncpg.UniqueViolationError:
            raise RegistryError(
                f"{thing} exists already: choose another id, or leave it out to get a new one"
            ) from None
        except asyncpg.ForeignKeyViolationError as error:
            raise RegistryError(_absent(error)) from None
        except (*UNREACHABLE, *REPLY_LOST) as error:
            raise StoreUnavailable from error


class Registry(RegistryWriter):
    """Merchants, stores, terminals and keys on PostgreSQL."""

    async def create_merchant(self, name: str, merchant_id: str | None = None) -> Merchant:
        """A new tenant. Raises RegistryError, as all of these do."""
        chosen = chosen_id(merchant_id) or self._ids.new("mer")
        async with self._writing(f"merchant {chosen}") as connection:
            row = await connection.fetchrow(
                "INSERT INTO merchant (id, name) VALUES ($1, $2) RETURNING id, name, created_at",
                chosen,
                _name(name),
            )
        return Merchant(**dict(row or {}))

    async def merchants(self) -> list[Merchant]:
        """All of them, oldest first."""
        return [
            Merchant(**dict(row))
            for row in await self._fetch(
                "SELECT id, name, created_at FROM merchant ORDER BY created_at, id"
            )
        ]

    async def create_store(
        self, merchant_id: str, name: str, store_id: str | None = None
    ) -> ShopStore:
        """A new shop."""
        chosen = chosen_id(store_id) or self._ids.new("sto")
        async with self._writing(f"store {chosen} of merchant {merchant_id}") as connection:
            row = await connection.fetchrow(
                "INSERT INTO store (merchant_id, id, name) VALUES ($1, $2, $3) "
                "RETURNING merchant_id, id, name, created_at, overrides_allowed",
                merchant_id,
                chosen,
                _name(name),
            )
        return ShopStore(**dict(row or {}))

    async def allow_overrides(self, merchant_id: str, store_id: str, *, allowed: bool) -> None:
        """Whether a supervisor may let another payment in while one of this store is in doubt."""
        about = f"store {store_id} of merchant {merchant_id}"
        async with self._writing(about) as connection:
            done = await connection.execute(
                "UPDATE store SET overrides_allowed = $3 WHERE merchant_id = $1 AND id = $2",
                merchant_id,
                store_id,
                allowed,
            )
        if done == "UPDATE 0":
            raise RegistryError(f"there is no {about}")

    async def stores(self, merchant_id: str) -> list[ShopStore]:
        """A merchant's shops, oldest first."""
        sql = (
            "SELECT merchant_id, id, name, created_at, overrides_allowed "
            "FROM store WHERE merchant_id = $1 "
            "ORDER BY created_at, id"
        )
        return [ShopStore(**dict(row)) for row in await self._fetch(sql, merchant_id)]

    async def create_terminal(
        self, merchant_id: str, store_id: str, name: str, terminal_id: str | None = None
    ) -> Terminal:
        """A new till; it needs a key of its own."""
        chosen = chosen_id(terminal_id) or self._ids.new("term")
        async with self._writing(f"terminal {chosen} of store {store_id}") as connection:
            row = await connection.fetchrow(
                NEW_TERMINAL, merchant_id, chosen, store_id, _name(name)
            )
        return Terminal(**dict(row or {}))

    async def terminals(self, merchant_id: str) -> list[Terminal]:
        """A merchant's tills, oldest first."""
        sql = (
            "SELECT merchant_id, id, store_id, name, created_at FROM terminal "
            "WHERE merchant_id = $1 ORDER BY created_at, id"
        )
        return [Terminal(**dict(row)) for row in await self._fetch(sql, merchant_id)]

    # -- keys --------------------------------------------------------------------------------------

    async def issue_terminal_key(
        self, merchant_id: str, terminal_id: str, environment: KeyEnvironment
    ) -> IssuedKey:
        """A key for one till. At most two may live at once: the one in use and its successor."""
        async with self._writing(f"terminal {terminal_id}") as connection:
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
            if (
                await connection.fetchval(LIVE_KEYS, merchant_id, terminal_id)
                >= LIVE_TERMINAL_KEYS_MAX
            ):
                raise RegistryError(
                    f"terminal {terminal_id} has {LIVE_TERMINAL_KEYS_MAX} live keys: "
                    f"revoke the one no longer in use (`tillgate key list`)"
                )
            return await self._issue(
                connection,
                KeyKind.TERMINAL,
                environment,
                (merchant_id, row["store_id"], terminal_id, Role.TERMINAL),
            )

    async def issue_merchant_key(
        self, merchant_id: str, role: Role, environment: KeyEnvironment
    ) -> IssuedKey:
        """A key for a merchant's server or for a person at it."""
        if role is Role.TERMINAL:
            raise RegistryError("a terminal's key belongs to a terminal: name it with --terminal")
        async with self._writing(f"merchant {merchant_id}") as connection:
            if (
                await connection.fetchval(
                    "SELECT id FROM merchant WHERE id = $1 FOR UPDATE", merchant_id
                )
                is None
            ):
                raise RegistryError(
                    f"there is no merchant {merchant_id}: "
                    f"`tillgate merchant list` shows what there is"
                )
            if await connection.fetchval(LIVE_KEYS, merchant_id, None) >= LIVE_KEYS_MAX:
                raise RegistryError(
                    f"merchant {merchant_id} has {LIVE_KEYS_MAX} live keys: "
                    f"revoke those no longer in use"
                )
            return await self._issue(
                connection, KeyKind.MERCHANT, environment, (merchant_id, None, None, role)
            )

    async def rotate_key(self, key_id: str, environment: KeyEnvironment) -> IssuedKey:
        """A second key for the same holder; the first lives on until it is revoked."""
        old = await self.key(key_id)
        if old.revoked_at is not None:
            raise RegistryError(f"key {key_id} is revoked: issue a new one instead")
        new = (
            await self.issue_terminal_key(old.merchant_id, old.terminal_id, environment)
            if old.terminal_id is not None
            else await self.issue_merchant_key(old.merchant_id, Role(old.role), environment)
        )
        # Before its secret is told: a key that nobody can use yet has the role's limits.
        await self.limit_refunds(new.id, old.refund_max, old.refund_day_max)
        return new

    async def limit_refunds(self, key_id: str, each: int | None, day: int | None) -> None:
        """What the key gives back, in fen; None: as its role."""
        await self.key(key_id)
        await self._fetch(LIMIT, key_id, each, day)

    async def revoke_key(self, key_id: str) -> None:
        """End a key; every worker refuses it within one refresh of its directory."""
        if await self._row(REVOKE, key_id) is None:
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
        self,
        connection: asyncpg.pool.PoolConnectionProxy[Any],
        kind: KeyKind,
        environment: KeyEnvironment,
        holder: tuple[str, str | None, str | None, Role],
    ) -> IssuedKey:
        key_id, secret = new_key_id(kind), new_secret(environment)
        merchant_id, store_id, terminal_id, role = holder
        sealed = self._vault.seal(secret.reveal().encode(), about=key_about(key_id))
        await connection.execute(
            NEW_KEY, key_id, merchant_id, store_id, terminal_id, role.value, sealed
        )
        return IssuedKey(id=key_id, secret=secret, role=role.value)


def _absent(error: asyncpg.ForeignKeyViolationError) -> str:
    """PostgreSQL names the columns, the values and the table: the last value is the thing's id."""
    found = re.search(r"=\((.*)\) is not present in table \"(\w+)\"", error.detail or "")
    if found is None:
        return "it belongs to something that does not exist"
    values, table = found.groups()
    thing = values.rpartition(", ")[2]
    return f"there is no {table} {thing}: `tillgate {table} list` shows what there is"


_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{REFERENCE_CHARS_MAX}}}")


def chosen_id(text: str | None) -> str | None:
    """An id given by a person, checked; None stays None."""
    if text is not None and not _ID.fullmatch(text):
        raise RegistryError(f"an id has 1 to {REFERENCE_CHARS_MAX} letters, digits, _ or -")
    return text


def _name(text: str) -> str:
    if not text.strip() or len(text) > NAME_CHARS_MAX:
        raise RegistryError(f"a name has 1 to {NAME_CHARS_MAX} characters")
    return text.strip()

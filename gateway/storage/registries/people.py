"""Who may ask, written: merchants, stores and terminals; and their API keys, of keys.py.

Channel accounts stand in accounts.py.

Everything here is rare, for people and scripts; the service itself reads the same rows through
directory.py, within one refresh. Nothing is ever deleted: a key is revoked, an account disabled,
because old payments still name them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.domain.audit import Act
from gateway.storage.registries.acts import RegistryError, chosen_id
from gateway.storage.registries.keys import KeyRegistry

NAME_CHARS_MAX: Final = 100


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


NEW_TERMINAL = (
    "INSERT INTO terminal (merchant_id, id, store_id, name) VALUES ($1, $2, $3, $4) "
    "RETURNING merchant_id, id, store_id, name, created_at"
)


class Registry(KeyRegistry):
    """Merchants, stores, terminals and keys on PostgreSQL."""

    async def create_merchant(self, name: str, merchant_id: str | None = None) -> Merchant:
        """A new tenant. Raises RegistryError, as all of these do."""
        chosen = chosen_id(merchant_id) or self._ids.new("mer")
        async with self._acting(f"merchant {chosen}") as connection:
            row = await connection.fetchrow(
                "INSERT INTO merchant (id, name) VALUES ($1, $2) RETURNING id, name, created_at",
                chosen,
                _name(name),
            )
            assert row is not None
            made = {"name": row["name"]}
            await self._record(
                connection, Act.MERCHANT_CREATE, chosen, merchant_id=chosen, after=made
            )
        return Merchant(**dict(row))

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
        async with self._acting(f"store {chosen} of merchant {merchant_id}") as connection:
            row = await connection.fetchrow(
                "INSERT INTO store (merchant_id, id, name) VALUES ($1, $2, $3) "
                "RETURNING merchant_id, id, name, created_at, overrides_allowed",
                merchant_id,
                chosen,
                _name(name),
            )
            assert row is not None
            made = {"name": row["name"]}
            await self._record(
                connection, Act.STORE_CREATE, chosen, merchant_id=merchant_id, after=made
            )
        return ShopStore(**dict(row))

    async def allow_overrides(self, merchant_id: str, store_id: str, *, allowed: bool) -> None:
        """Whether a supervisor may let another payment in while one of this store is in doubt."""
        about = f"store {store_id} of merchant {merchant_id}"
        async with self._acting(about) as connection:
            done = await connection.execute(
                "UPDATE store SET overrides_allowed = $3 WHERE merchant_id = $1 AND id = $2",
                merchant_id,
                store_id,
                allowed,
            )
            if done == "UPDATE 0":
                raise RegistryError(f"there is no {about}")
            await self._record(
                connection,
                Act.STORE_OVERRIDES,
                store_id,
                merchant_id=merchant_id,
                after={"allowed": allowed},
            )

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
        async with self._acting(f"terminal {chosen} of store {store_id}") as connection:
            row = await connection.fetchrow(
                NEW_TERMINAL, merchant_id, chosen, store_id, _name(name)
            )
            assert row is not None
            made = {"store_id": store_id, "name": row["name"]}
            await self._record(
                connection, Act.TERMINAL_CREATE, chosen, merchant_id=merchant_id, after=made
            )
        return Terminal(**dict(row))

    async def terminals(self, merchant_id: str) -> list[Terminal]:
        """A merchant's tills, oldest first."""
        sql = (
            "SELECT merchant_id, id, store_id, name, created_at FROM terminal "
            "WHERE merchant_id = $1 ORDER BY created_at, id"
        )
        return [Terminal(**dict(row)) for row in await self._fetch(sql, merchant_id)]


def _name(text: str) -> str:
    if not text.strip() or len(text) > NAME_CHARS_MAX:
        raise RegistryError(f"a name has 1 to {NAME_CHARS_MAX} characters")
    return text.strip()

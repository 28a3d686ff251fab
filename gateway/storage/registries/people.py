"""Who may ask, written: merchants, stores and terminals; and their API keys, of keys.py.

Everything here is rare, for people and scripts; the service itself reads the same rows through
directory.py, within one refresh. Nothing is ever deleted: a store is disabled, because old payments
still name it. Channel accounts stand in accounts.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, TypeVar

import asyncpg

from gateway.domain.audit import Act
from gateway.domain.holder import Holder, HolderKind
from gateway.storage.registries.acts import Connection, RegistryError, chosen_id
from gateway.storage.registries.keys import KeyRegistry

NAME_CHARS_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """A tenant."""

    id: str
    name: str
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopStore:
    """One shop of a merchant. `overrides_allowed`: a supervisor may let another payment in."""

    merchant_id: str
    id: str
    name: str
    created_at: datetime
    disabled_at: datetime | None
    overrides_allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """A till."""

    merchant_id: str
    id: str
    store_id: str
    name: str
    created_at: datetime
    disabled_at: datetime | None


AnyHolder = TypeVar("AnyHolder", Merchant, ShopStore, Terminal)

_ID_PREFIXES: Final = {
    HolderKind.MERCHANT: "mer",
    HolderKind.STORE: "sto",
    HolderKind.TERMINAL: "term",
}
OVERRIDES = "UPDATE store SET overrides_allowed = $3 WHERE merchant_id = $1 AND id = $2"


class Registry(KeyRegistry):
    """Merchants, stores, terminals and keys on PostgreSQL. All of it raises RegistryError."""

    async def create_merchant(self, name: str, merchant_id: str | None = None) -> Merchant:
        """A new tenant."""
        chosen = self._id(HolderKind.MERCHANT, merchant_id)
        holder = Holder(HolderKind.MERCHANT, chosen, chosen)
        return await self._create(Merchant, holder, {"id": chosen, "name": _name(name)})

    async def create_store(
        self, merchant_id: str, name: str, store_id: str | None = None
    ) -> ShopStore:
        """A new shop."""
        chosen = self._id(HolderKind.STORE, store_id)
        holder = Holder(HolderKind.STORE, merchant_id, chosen)
        values = {"merchant_id": merchant_id, "id": chosen, "name": _name(name)}
        return await self._create(ShopStore, holder, values)

    async def create_terminal(
        self, merchant_id: str, store_id: str, name: str, terminal_id: str | None = None
    ) -> Terminal:
        """A new till; it needs a key of its own."""
        chosen = self._id(HolderKind.TERMINAL, terminal_id)
        holder = Holder(HolderKind.TERMINAL, merchant_id, chosen)
        values = {
            "merchant_id": merchant_id,
            "id": chosen,
            "store_id": store_id,
            "name": _name(name),
        }
        return await self._create(Terminal, holder, values)

    async def merchants(self) -> list[Merchant]:
        """All of them, oldest first."""
        return await self._list(Merchant, HolderKind.MERCHANT)

    async def stores(self, merchant_id: str) -> list[ShopStore]:
        """A merchant's shops, oldest first."""
        return await self._list(ShopStore, HolderKind.STORE, merchant_id)

    async def terminals(self, merchant_id: str) -> list[Terminal]:
        """A merchant's tills, oldest first."""
        return await self._list(Terminal, HolderKind.TERMINAL, merchant_id)

    async def rename(self, holder: Holder, name: str) -> None:
        """Give it another name; its id stays."""
        new = _name(name)
        async with self._acting(str(holder)) as connection:
            was = await _locked(connection, holder)
            await connection.execute(_update(holder.kind, "name = $3"), *_place(holder), new)
            await self._record_change(
                connection, "rename", holder, before={"name": was["name"]}, after={"name": new}
            )

    async def disable(self, holder: Holder) -> bool:
        """Every worker refuses the keys below it within one refresh of its directory; what is under
        way goes on. False: it was disabled already.
        """
        return await self._switch(holder, disabled=True)

    async def enable(self, holder: Holder) -> bool:
        """Its keys act again, unless what it belongs to is disabled. False: it was not disabled."""
        return await self._switch(holder, disabled=False)

    async def allow_overrides(self, merchant_id: str, store_id: str, *, allowed: bool) -> None:
        """Whether a supervisor may let another payment in while one of this store is in doubt."""
        store = Holder(HolderKind.STORE, merchant_id, store_id)
        async with self._acting(str(store)) as connection:
            await _locked(connection, store)
            await connection.execute(OVERRIDES, merchant_id, store_id, allowed)
            await self._record_change(connection, "overrides", store, after={"allowed": allowed})

    async def _create(
        self, made_as: type[AnyHolder], holder: Holder, values: Mapping[str, str]
    ) -> AnyHolder:
        numbers = ", ".join(f"${n}" for n, _ in enumerate(values, 1))
        insert = (
            f"INSERT INTO {holder.kind} ({', '.join(values)}) VALUES ({numbers}) "
            f"RETURNING {_columns(made_as)}"
        )
        async with self._acting(str(holder)) as connection:
            row = await connection.fetchrow(insert, *values.values())
            assert row is not None
            made = {name: values[name] for name in ("store_id", "name") if name in values}
            await self._record_change(connection, "create", holder, after=made)
        return made_as(**dict(row))

    async def _list(
        self, listed_as: type[AnyHolder], kind: HolderKind, *merchant_id: str
    ) -> list[AnyHolder]:
        where = "WHERE merchant_id = $1" if merchant_id else ""
        sql = f"SELECT {_columns(listed_as)} FROM {kind} {where} ORDER BY created_at, id"
        return [listed_as(**dict(row)) for row in await self._fetch(sql, *merchant_id)]

    async def _switch(self, holder: Holder, *, disabled: bool) -> bool:
        moment = "now()" if disabled else "NULL"
        async with self._acting(str(holder)) as connection:
            was = await _locked(connection, holder)
            if (was["disabled_at"] is not None) == disabled:
                return False
            statement = _update(holder.kind, f"disabled_at = {moment}")
            await connection.execute(statement, *_place(holder))
            await self._record_change(connection, "disable" if disabled else "enable", holder)
        return True

    async def _record_change(
        self,
        connection: Connection,
        verb: str,
        holder: Holder,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        act, merchant_id = Act(f"{holder.kind}.{verb}"), holder.merchant_id
        await self._record(
            connection, act, holder.id, merchant_id=merchant_id, before=before, after=after
        )

    def _id(self, kind: HolderKind, given: str | None) -> str:
        return chosen_id(given) or self._ids.new(_ID_PREFIXES[kind])


async def _locked(connection: Connection, holder: Holder) -> asyncpg.Record:
    sql = f"SELECT name, disabled_at FROM {holder.kind} WHERE {_where(holder.kind)}"
    row: asyncpg.Record | None = await connection.fetchrow(
        f"{sql} FOR NO KEY UPDATE", *_place(holder)
    )
    if row is None:
        raise RegistryError(
            f"there is no {holder}: `tillgate {holder.kind} list` shows what there is"
        )
    return row


def _columns(of: type[AnyHolder]) -> str:
    return ", ".join(field.name for field in fields(of))


def _update(kind: HolderKind, what: str) -> str:
    return f"UPDATE {kind} SET {what} WHERE {_where(kind)}"


def _where(kind: HolderKind) -> str:
    """With the two values of `_place`."""
    merchant_id = "id" if kind is HolderKind.MERCHANT else "merchant_id"
    return f"{merchant_id} = $1 AND id = $2"


def _place(holder: Holder) -> tuple[str, str]:
    return holder.merchant_id, holder.id


def _name(text: str) -> str:
    if not text.strip() or len(text) > NAME_CHARS_MAX:
        raise RegistryError(f"a name has 1 to {NAME_CHARS_MAX} characters")
    return text.strip()

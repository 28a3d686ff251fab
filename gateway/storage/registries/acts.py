"""Acts on the registries: each a transaction that also says who did what.

Nothing is changed here without its row in `audit`, so no act can be denied, and none can be
forgotten by a later method: they all go through `Acting`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

import asyncpg
import msgspec

from gateway.domain.audit import Act, AskedBy
from gateway.domain.errors import StoreUnavailable
from gateway.limits import REFERENCE_CHARS_MAX
from gateway.storage.connections import GAVE_UP, REPLY_LOST, UNREACHABLE
from gateway.storage.reader import Reader

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[Any]"  # known to type checkers only

RECORD = """INSERT INTO audit (merchant_id, asked_as, asked_by, act, object, before, after)
VALUES ($1, $2, $3, $4, $5, $6, $7)"""


class RegistryError(ValueError):
    """The change is refused; the text says why and what to do. Nothing was written."""


class Acting(Reader):
    """A registry that people change; `asked_by` is who does."""

    def __init__(self, pool: asyncpg.Pool[Any], *, asked_by: AskedBy) -> None:
        super().__init__(pool)
        self._asked_by = asked_by

    @contextlib.asynccontextmanager
    async def _acting(self, thing: str) -> AsyncIterator[Connection]:
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
        except (*UNREACHABLE, *REPLY_LOST, *GAVE_UP) as error:
            raise StoreUnavailable from error

    async def _record(
        self,
        connection: Connection,
        act: Act,
        thing: str,
        *,
        merchant_id: str | None,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        asked_by: AskedBy | None = None,
    ) -> None:
        """One act, in the transaction that `connection` is in.

        `before` and `after`: what it changed, without secrets.
        """
        who = asked_by or self._asked_by
        shown = (_json(before), _json(after))
        await connection.execute(RECORD, merchant_id, who.kind, who.name, act.value, thing, *shown)


def _json(shown: Mapping[str, Any] | None) -> str | None:
    return None if shown is None else msgspec.json.encode(shown).decode()


_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{REFERENCE_CHARS_MAX}}}")


def chosen_id(text: str | None) -> str | None:
    """An id given by a person, checked; None stays None."""
    if text is not None and not _ID.fullmatch(text):
        raise RegistryError(f"an id has 1 to {REFERENCE_CHARS_MAX} letters, digits, _ or -")
    return text


def _absent(error: asyncpg.ForeignKeyViolationError) -> str:
    """PostgreSQL names the columns, the values and the table: the last value is the thing's id."""
    found = re.search(r"=\((.*)\) is not present in table \"(\w+)\"", error.detail or "")
    if found is None:
        return "it belongs to something that does not exist"
    values, table = found.groups()
    thing = values.rpartition(", ")[2]
    return f"there is no {table} {thing}: `tillgate {table} list` shows what there is"

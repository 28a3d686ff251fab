"""What people and keys did, read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from gateway.storage.reader import Reader

LISTED_MAX: Final = 200  # a screenful several times over; narrower questions show older ones

NEWEST = f"""SELECT at, asked_as, asked_by, act, object, merchant_id,
  before::text AS before, after::text AS after
FROM audit WHERE ($1::text IS NULL OR merchant_id = $1) AND ($2::text IS NULL OR object = $2)
ORDER BY audit.seq DESC LIMIT {LISTED_MAX}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActListing:
    """One act; `before` and `after` as they were written."""

    at: datetime
    asked_as: str
    asked_by: str
    act: str
    object: str
    merchant_id: str | None
    before: Any
    after: Any


class ActList(Reader):
    """Read by people."""

    async def newest(self, merchant_id: str | None, thing: str | None) -> list[ActListing]:
        """Newest first, at most LISTED_MAX; None: of all."""
        return [
            ActListing(**dict(row) | {name: _read(row[name]) for name in ("before", "after")})
            for row in await self._fetch(NEWEST, merchant_id, thing)
        ]


def _read(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)

"""What people have to look at, read: the cases that `gateway.storage.books.inbox` opened.

Closing one with a verdict is the flow's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from gateway.storage.reader import Reader

CASES_MAX: Final = 200  # a screenful several times over; older ones wait until these are closed

_COLUMNS = (
    "merchant_id, id, kind, object_id, evidence::text AS evidence, opened_at, closed_at, "
    "closed_by, reason"
)
LIST = f"""SELECT {_COLUMNS} FROM "case"
WHERE ($1::text IS NULL OR merchant_id = $1) AND ($2 OR closed_at IS NULL)
ORDER BY opened_at DESC LIMIT {CASES_MAX}"""
ONE = f"""SELECT {_COLUMNS} FROM "case" WHERE id = $1"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseListing:
    """One case. `evidence` is what was seen, as stored."""

    merchant_id: str
    id: str
    kind: str
    object_id: str
    evidence: Any
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    reason: str | None


class CaseList(Reader):
    """Reads cases."""

    async def cases(
        self, merchant_id: str | None = None, *, closed_too: bool = False
    ) -> list[CaseListing]:
        """Newest first, at most CASES_MAX."""
        return [_case(dict(row)) for row in await self._fetch(LIST, merchant_id, closed_too)]

    async def case(self, case_id: str) -> CaseListing | None:
        """One case."""
        row = await self._row(ONE, case_id)
        return _case(dict(row)) if row else None


def _case(row: dict[str, Any]) -> CaseListing:
    return CaseListing(**row | {"evidence": msgspec.json.decode(row["evidence"])})

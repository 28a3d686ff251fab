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
    "k.merchant_id, k.id, k.kind, k.object_id, k.evidence::text AS evidence, k.opened_at, "
    "k.closed_at, k.closed_by, k.reason"
)
LIST = f"""SELECT {_COLUMNS}, k.attempt_id FROM "case" k
WHERE ($1::text IS NULL OR k.merchant_id = $1) AND ($2 OR k.closed_at IS NULL)
ORDER BY k.opened_at DESC LIMIT {CASES_MAX}"""
# A case from before there was `attempt_id`, or of an older worker beside this one, names no
# attempt: it is the one whose evidence carries the moment of the case's.
_BY_MOMENT = """SELECT a.id FROM attempt a, json_array_elements(a.evidence) item
WHERE a.payment_id = k.object_id AND a.merchant_id = k.merchant_id
  AND (item->>'at')::timestamptz = (k.evidence->>'at')::timestamptz
ORDER BY a.number LIMIT 1"""
ONE = f"""SELECT {_COLUMNS}, coalesce(k.attempt_id, ({_BY_MOMENT})) AS attempt_id
FROM "case" k WHERE k.id = $1"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseListing:
    """One case. `evidence` is what was seen, as stored; `attempt_id` the attempt that it shows."""

    merchant_id: str
    id: str
    kind: str
    object_id: str
    attempt_id: str | None
    evidence: Any
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    reason: str | None


class CaseList(Reader):
    async def cases(
        self, merchant_id: str | None = None, *, closed_too: bool = False
    ) -> list[CaseListing]:
        """Newest first, at most CASES_MAX."""
        return [_case(dict(row)) for row in await self._fetch(LIST, merchant_id, closed_too)]

    async def case(self, case_id: str) -> CaseListing | None:
        row = await self._row(ONE, case_id)
        return _case(dict(row)) if row else None


def _case(row: dict[str, Any]) -> CaseListing:
    return CaseListing(**row | {"evidence": msgspec.json.decode(row["evidence"])})

"""What people have to look at, read: the cases that `gateway.storage.books.inbox` opened.

Closing one with a verdict is the flow's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from gateway.domain.case import Finding
from gateway.storage.reader import Reader

CASES_MAX: Final = 200  # a screenful several times over; older ones wait until these are closed

_COLUMNS = (
    "k.merchant_id, k.id, k.kind, k.object_id, k.evidence::text AS evidence, k.opened_at, "
    "k.closed_at, k.closed_by, k.reason, "
    "k.proposed_as, k.proposed_by, k.proposed_at, k.proposed_reason, k.confirmed_by"
)
LIST = f"""SELECT {_COLUMNS}, k.attempt_id, k.refund_id FROM "case" k
WHERE ($1::text IS NULL OR k.merchant_id = $1) AND ($2 OR k.closed_at IS NULL)
ORDER BY k.opened_at DESC LIMIT {CASES_MAX}"""
# A case from before there was `attempt_id` or `refund_id`, or of an older worker beside this one,
# names none: it is the one whose evidence carries the moment of the case's.
_BY_MOMENT = """SELECT a.id FROM attempt a, json_array_elements(a.evidence) item
WHERE a.payment_id = k.object_id AND a.merchant_id = k.merchant_id
  AND (item->>'at')::timestamptz = (k.evidence->>'at')::timestamptz
ORDER BY a.number LIMIT 1"""
_REFUND_BY_MOMENT = """SELECT f.id FROM refund f, json_array_elements(f.evidence) item
WHERE f.payment_id = k.object_id AND f.merchant_id = k.merchant_id
  AND (item->>'at')::timestamptz = (k.evidence->>'at')::timestamptz
ORDER BY f.created_at LIMIT 1"""
ONE = f"""SELECT {_COLUMNS}, coalesce(k.attempt_id, ({_BY_MOMENT})) AS attempt_id,
  coalesce(k.refund_id, ({_REFUND_BY_MOMENT})) AS refund_id
FROM "case" k WHERE k.id = $1"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseListing:
    """One case. `evidence` is what was seen, as stored; `attempt_id`, `refund_id` what it shows.

    `proposed_*`: what one person has found out; `confirmed_by`: another one, who agrees.
    """

    merchant_id: str
    id: str
    kind: str
    object_id: str
    attempt_id: str | None
    refund_id: str | None
    evidence: Any
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    reason: str | None
    proposed_as: Finding | None
    proposed_by: str | None
    proposed_at: datetime | None
    proposed_reason: str | None
    confirmed_by: str | None


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
    proposed_as = Finding(row["proposed_as"]) if row["proposed_as"] else None
    evidence = msgspec.json.decode(row["evidence"])
    return CaseListing(**row | {"evidence": evidence, "proposed_as": proposed_as})

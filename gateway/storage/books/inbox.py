"""What arrives from outside before it is applied: callbacks, kept raw and unique per channel event;
and cases for people.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.domain.audit import Act
from gateway.domain.case import Case, CaseKind
from gateway.domain.errors import NotFound
from gateway.flow.ports import StoredCallback
from gateway.storage.reader import Reader

KEEP = """INSERT INTO callback (account_id, event_key, out_trade_no, kind, body, received_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (account_id, event_key) DO UPDATE SET received_at = callback.received_at
RETURNING applied_at"""
APPLIED = (
    "UPDATE callback SET applied_at = now() "
    "WHERE account_id = $1 AND event_key = $2 AND applied_at IS NULL"
)
OPEN_CASE = """INSERT INTO "case"
  (merchant_id, id, kind, object_id, attempt_id, evidence, opened_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING RETURNING id"""
CLOSE_CASE = f"""WITH closed AS (
    UPDATE "case" SET closed_at = $4, closed_by = $2, reason = $3
    WHERE id = $1 AND closed_at IS NULL RETURNING merchant_id, id, kind, object_id
)
INSERT INTO audit (merchant_id, asked_as, asked_by, act, object, after)
SELECT merchant_id, 'person', $2, '{Act.CASE_CLOSE}', id,
       json_build_object('kind', kind, 'about', object_id, 'reason', $3::text)
FROM closed RETURNING object"""

SETTLE_CASE = """UPDATE "case" SET closed_at = $5, closed_by = 'tillgate', reason = $4
WHERE object_id = $2 AND kind = $3 AND merchant_id = $1 AND closed_at IS NULL"""


class Inbox(Reader):
    """See `gateway.flow.ports.Store`."""

    async def keep_callback(self, callback: StoredCallback) -> bool:
        """True while its effect is still owed: a callback stored by a worker that died is applied
        by the channel's resend.
        """
        k = callback
        row = await self._row(
            KEEP, k.account_id, k.event_key, k.out_trade_no, k.kind, k.body, k.received_at
        )
        return row is not None and row["applied_at"] is None

    async def callback_applied(self, account_id: str, event_key: str) -> None:
        await self._fetch(APPLIED, account_id, event_key)

    async def open_case(self, merchant_id: str, object_id: str, case: Case) -> bool:
        """One open case per kind and object."""
        words = msgspec.json.encode(case.evidence).decode()
        shown = (object_id, case.attempt_id, words, case.evidence.at)
        return await self._row(OPEN_CASE, merchant_id, case.id, case.name, *shown) is not None

    async def close_case(self, case_id: str, *, closed_by: str, reason: str, now: datetime) -> None:
        """Raises `NotFound` when no such case is open."""
        if await self._row(CLOSE_CASE, case_id, closed_by, reason, now) is None:
            raise NotFound(f"no open case {case_id}")

    async def settle_case(
        self, merchant_id: str, object_id: str, kind: CaseKind, *, reason: str, now: datetime
    ) -> None:
        """If there is one."""
        await self._fetch(SETTLE_CASE, merchant_id, object_id, kind, reason, now)

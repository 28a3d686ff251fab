"""What arrives from outside before it is applied: callbacks, kept raw and unique per channel event;
and cases for people, with what these have found out.
"""

from __future__ import annotations

from datetime import datetime

import asyncpg
import msgspec

from gateway.domain.case import Case, CaseKind, Finding
from gateway.domain.errors import NotFound
from gateway.flow.ports import StoredCallback, StoreRefused
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
  (merchant_id, id, kind, object_id, attempt_id, refund_id, evidence, opened_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING RETURNING id"""
CLOSE_CASE = """UPDATE "case" SET closed_at = $4, closed_by = $2, reason = $3
WHERE id = $1 AND closed_at IS NULL RETURNING id"""

SETTLE_CASE = """UPDATE "case" SET closed_at = $5, closed_by = 'tillgate', reason = $4
WHERE object_id = $2 AND kind = $3 AND merchant_id = $1 AND closed_at IS NULL
  AND proposed_by IS NULL"""
PROPOSE = """UPDATE "case"
SET proposed_as = $2, proposed_by = $3, proposed_reason = $4, proposed_at = $5
WHERE id = $1 AND closed_at IS NULL AND proposed_by IS NULL RETURNING id"""
# A second confirmation goes on where the first one's process died.
CONFIRM = """UPDATE "case" SET confirmed_by = $3
WHERE id = $1 AND closed_at IS NULL AND proposed_as = $2 RETURNING id"""
UNCONFIRM = """UPDATE "case" SET confirmed_by = NULL WHERE id = $1 AND closed_at IS NULL"""
WITHDRAW = """UPDATE "case"
SET proposed_as = NULL, proposed_by = NULL, proposed_reason = NULL, proposed_at = NULL
WHERE id = $1 AND closed_at IS NULL AND proposed_by IS NOT NULL AND confirmed_by IS NULL
RETURNING id"""


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
        shown = (object_id, case.attempt_id, case.refund_id, words, case.evidence.at)
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

    async def propose_finding(
        self, case_id: str, finding: Finding, *, by: str, reason: str, now: datetime
    ) -> bool:
        """See `gateway.flow.case_closing.CaseFindings`."""
        return await self._row(PROPOSE, case_id, finding, by, reason, now) is not None

    async def confirm_finding(self, case_id: str, finding: Finding, *, by: str) -> bool:
        """As above. Raises `StoreRefused` for the person who proposed it."""
        try:
            return await self._row(CONFIRM, case_id, finding, by) is not None
        except asyncpg.CheckViolationError as error:
            raise StoreRefused(error.sqlstate, error.constraint_name) from error

    async def unconfirm_finding(self, case_id: str) -> None:
        await self._fetch(UNCONFIRM, case_id)

    async def withdraw_finding(self, case_id: str) -> bool:
        """As above."""
        return await self._row(WITHDRAW, case_id) is not None

"""What arrives from outside before it is applied: callbacks, kept raw and unique per channel event;
and cases for people, with what these have found out.
"""

from __future__ import annotations

from datetime import datetime

import asyncpg
import msgspec

from gateway.domain.audit import Act, AskedBy
from gateway.domain.case import Case, CaseKind, Finding
from gateway.domain.errors import NoSuchObject
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
CLOSE_CASE = f"""WITH closed AS (
    UPDATE "case" SET closed_at = $4, closed_by = $2, reason = $3
    WHERE id = $1 AND closed_at IS NULL RETURNING merchant_id, id, kind, object_id
)
INSERT INTO audit (merchant_id, asked_as, asked_by, act, object, after)
SELECT merchant_id, $5, $6, '{Act.CASE_CLOSE}', id,
       json_build_object('kind', kind, 'about', object_id, 'reason', $3::text)
FROM closed RETURNING object"""

SETTLE_CASE = """UPDATE "case" SET closed_at = $5, closed_by = 'tillgate', reason = $4
WHERE object_id = $2 AND kind = $3 AND merchant_id = $1 AND closed_at IS NULL
  AND proposed_by IS NULL"""
PROPOSE = f"""WITH proposed AS (
    UPDATE "case" SET proposed_as = $2, proposed_by = $3, proposed_reason = $4, proposed_at = $5
    WHERE id = $1 AND closed_at IS NULL AND proposed_by IS NULL RETURNING merchant_id, id
)
INSERT INTO audit (merchant_id, asked_as, asked_by, act, object, after)
SELECT merchant_id, $6, $7, '{Act.CASE_PROPOSE}', id,
       json_build_object('finding', $2::text, 'reason', $4::text)
FROM proposed RETURNING object"""
# A second confirmation goes on where the first one's process died.
CONFIRM = f"""WITH confirmed AS (
    UPDATE "case" SET confirmed_by = $3
    WHERE id = $1 AND closed_at IS NULL AND proposed_as = $2 RETURNING merchant_id, id
)
INSERT INTO audit (merchant_id, asked_as, asked_by, act, object, after)
SELECT merchant_id, $4, $5, '{Act.CASE_CONFIRM}', id, json_build_object('finding', $2::text)
FROM confirmed RETURNING object"""
UNCONFIRM = f"""WITH unconfirmed AS (
    UPDATE "case" SET confirmed_by = NULL
    WHERE id = $1 AND closed_at IS NULL AND confirmed_by IS NOT NULL RETURNING merchant_id, id
)
INSERT INTO audit (merchant_id, asked_as, asked_by, act, object)
SELECT merchant_id, $2, $3, '{Act.CASE_UNCONFIRM}', id FROM unconfirmed RETURNING object"""
WITHDRAW = f"""WITH proposed AS (
    SELECT merchant_id, id, proposed_as, proposed_by FROM "case"
    WHERE id = $1 AND closed_at IS NULL AND proposed_by IS NOT NULL AND confirmed_by IS NULL
    FOR UPDATE
), withdrawn AS (
    UPDATE "case" k
    SET proposed_as = NULL, proposed_by = NULL, proposed_reason = NULL, proposed_at = NULL
    FROM proposed p WHERE k.merchant_id = p.merchant_id AND k.id = p.id
    RETURNING p.merchant_id, p.id, p.proposed_as, p.proposed_by
)
INSERT INTO audit (merchant_id, asked_as, asked_by, act, object, before)
SELECT merchant_id, $2, $3, '{Act.CASE_WITHDRAW}', id,
       json_build_object('finding', proposed_as, 'proposed_by', proposed_by)
FROM withdrawn RETURNING object"""


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

    async def close_case(
        self, case_id: str, *, closed_by: AskedBy, reason: str, now: datetime
    ) -> None:
        """Raises `NoSuchObject` when no such case is open."""
        words = (str(closed_by), reason, now, closed_by.kind, closed_by.name)
        if await self._row(CLOSE_CASE, case_id, *words) is None:
            raise NoSuchObject(f"no open case {case_id}")

    async def settle_case(
        self, merchant_id: str, object_id: str, kind: CaseKind, *, reason: str, now: datetime
    ) -> None:
        """If there is one."""
        await self._fetch(SETTLE_CASE, merchant_id, object_id, kind, reason, now)

    async def propose_finding(
        self, case_id: str, finding: Finding, *, by: AskedBy, reason: str, now: datetime
    ) -> bool:
        """See `gateway.flow.case_closing.CaseFindings`."""
        words = (finding, str(by), reason, now, by.kind, by.name)
        return await self._row(PROPOSE, case_id, *words) is not None

    async def confirm_finding(self, case_id: str, finding: Finding, *, by: AskedBy) -> bool:
        """As above. Raises `StoreRefused` for the person who proposed it."""
        try:
            words = (finding, str(by), by.kind, by.name)
            return await self._row(CONFIRM, case_id, *words) is not None
        except asyncpg.CheckViolationError as error:
            raise StoreRefused(error.sqlstate, error.constraint_name) from error

    async def unconfirm_finding(self, case_id: str, *, by: AskedBy) -> None:
        await self._fetch(UNCONFIRM, case_id, by.kind, by.name)

    async def withdraw_finding(self, case_id: str, *, by: AskedBy) -> bool:
        """As above."""
        return await self._row(WITHDRAW, case_id, by.kind, by.name) is not None

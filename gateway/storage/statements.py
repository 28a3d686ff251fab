"""The two statements of the group writer: one data-modifying CTE over `unnest` arrays is one transaction.

`OPEN`: the claim is inserted first; payment, attempt, event and journal come only from its RETURNING.
`APPLY`: the payment row is the one thing compared. `held` locks the rows in order (unsorted batches deadlock within seconds) and
keeps those whose version is still the expected one; a new refund must win its own uniqueness before its payment moves.
A record that returns nothing lost; its rival is read by a second statement, since the first one's snapshot cannot see it.
"""

from __future__ import annotations

from gateway.domain.change import Change, Opening
from gateway.domain.states import PAYMENT_HOLDING
from gateway.storage import columns as c
from gateway.storage import rows

_OPEN_INPUT = c.joined(c.PAYMENT, c.ATTEMPT.prefixed("a_"), c.CLAIM)
_OPEN_WIDTH = len(_OPEN_INPUT.names)

OPEN = f"""
WITH input AS (SELECT * FROM {_OPEN_INPUT.unnested("r", 1)}),
won AS (
    INSERT INTO claim (merchant_id, idempotency_key, payment_id, order_no, tender_no, first_n, holds, fingerprint, created_at)
    SELECT merchant_id, idempotency_key, id, order_no, tender_no, first_n, holds, fingerprint, created_at FROM input
    ON CONFLICT DO NOTHING RETURNING merchant_id, payment_id
),
paid AS (
    INSERT INTO payment ({c.PAYMENT.listed()})
    SELECT {c.PAYMENT.listed("r.")} FROM input r JOIN won w ON w.merchant_id = r.merchant_id AND w.payment_id = r.id
),
tried AS (
    INSERT INTO attempt (merchant_id, payment_id, {c.ATTEMPT.listed()})
    SELECT r.merchant_id, r.id, {c.ATTEMPT.listed("r.a_")} FROM input r JOIN won w ON w.merchant_id = r.merchant_id AND w.payment_id = r.id
),
logged AS (
    INSERT INTO event (merchant_id, id, object_id, version, type, public, data, at)
    SELECT e.merchant_id, e.id, e.object_id, e.version, e.type, e.public, e.data, e.at
    FROM {c.EVENT.unnested("e", _OPEN_WIDTH + 1)} JOIN won w USING (merchant_id, payment_id)
),
posted AS (
    INSERT INTO journal (merchant_id, posting_id, account, amount, at)
    SELECT j.merchant_id, j.posting_id, j.account, j.amount, j.at
    FROM {c.POSTING.unnested("j", _OPEN_WIDTH + len(c.EVENT.names) + 1)} JOIN won w USING (merchant_id, payment_id)
)
SELECT merchant_id, payment_id FROM won
"""

_MOVE_INPUT = c.joined(
    c.columns("merchant_id text\nid text\nreleases boolean\nasks boolean"),
    c.PAYMENT_MOVING,
)
_ATTEMPT_INPUT = c.joined(c.KEY, c.ATTEMPT_MOVING)
_REFUND_INPUT = c.joined(c.KEY, c.REFUND_MOVING)
_APPLY_GROUPS = (_MOVE_INPUT, c.REFUND, _ATTEMPT_INPUT, _REFUND_INPUT, c.EVENT, c.POSTING, c.CASE)
_APPLY_FIRST = tuple(1 + sum(len(group.names) for group in _APPLY_GROUPS[:place]) for place in range(len(_APPLY_GROUPS)))
_NO_KEY = frozenset(c.KEY.names)

APPLY = f"""
WITH input AS (SELECT * FROM {_MOVE_INPUT.unnested("r", _APPLY_FIRST[0])}),
held AS (
    SELECT p.merchant_id, p.id FROM payment p
    JOIN input r ON p.merchant_id = r.merchant_id AND p.id = r.id AND p.version = r.version - 1
    ORDER BY p.merchant_id, p.id FOR UPDATE OF p
),
asked AS (
    INSERT INTO refund ({c.REFUND.listed()})
    SELECT {c.REFUND.listed("f.")} FROM {c.REFUND.unnested("f", _APPLY_FIRST[1])}
    JOIN held h ON h.merchant_id = f.merchant_id AND h.id = f.payment_id
    ON CONFLICT DO NOTHING RETURNING merchant_id, payment_id
),
moved AS (
    UPDATE payment p SET {c.PAYMENT_MOVING.assigned("r", frozenset())}
    FROM input r JOIN held h USING (merchant_id, id)
    WHERE p.merchant_id = r.merchant_id AND p.id = r.id AND p.version = r.version - 1
      AND (NOT r.asks OR EXISTS (SELECT FROM asked a WHERE a.merchant_id = r.merchant_id AND a.payment_id = r.id))
    RETURNING p.merchant_id, p.id AS payment_id, r.releases
),
tried AS (
    UPDATE attempt a SET {c.ATTEMPT_MOVING.assigned("t", _NO_KEY)}
    FROM {_ATTEMPT_INPUT.unnested("t", _APPLY_FIRST[2])} JOIN moved m USING (merchant_id, payment_id)
    WHERE a.merchant_id = t.merchant_id AND a.id = t.id
),
refunded AS (
    UPDATE refund f SET {c.REFUND_MOVING.assigned("t", _NO_KEY)}
    FROM {_REFUND_INPUT.unnested("t", _APPLY_FIRST[3])} JOIN moved m USING (merchant_id, payment_id)
    WHERE f.merchant_id = t.merchant_id AND f.id = t.id
),
released AS (
    UPDATE claim k SET holds = false FROM moved m
    WHERE m.releases AND k.merchant_id = m.merchant_id AND k.payment_id = m.payment_id AND k.holds
),
logged AS (
    INSERT INTO event (merchant_id, id, object_id, version, type, public, data, at)
    SELECT e.merchant_id, e.id, e.object_id, e.version, e.type, e.public, e.data, e.at
    FROM {c.EVENT.unnested("e", _APPLY_FIRST[4])} JOIN moved m USING (merchant_id, payment_id)
),
posted AS (
    INSERT INTO journal (merchant_id, posting_id, account, amount, at)
    SELECT j.merchant_id, j.posting_id, j.account, j.amount, j.at
    FROM {c.POSTING.unnested("j", _APPLY_FIRST[5])} JOIN moved m USING (merchant_id, payment_id)
),
opened AS (
    INSERT INTO "case" (merchant_id, id, kind, object_id, evidence, opened_at)
    SELECT k.merchant_id, k.id, k.kind, k.payment_id, k.evidence, k.at
    FROM {c.CASE.unnested("k", _APPLY_FIRST[6])} JOIN moved m USING (merchant_id, payment_id)
    ON CONFLICT DO NOTHING
)
SELECT h.merchant_id, h.id AS payment_id, m.payment_id IS NOT NULL AS moved
FROM held h LEFT JOIN moved m ON m.merchant_id = h.merchant_id AND m.payment_id = h.id
"""


def open_arguments(openings: list[Opening]) -> list[object]:
    """The arrays of `OPEN`."""
    main = [
        (*rows.payment_fixed(o.payment), *rows.payment_moving(o.payment), *rows.attempt_row(o.payment.attempts[0]), *rows.claim_row(o))
        for o in openings
    ]
    events = [rows.event_row(o.payment, event) for o in openings for event in o.events]
    postings = [posting for o in openings for posting in rows.posting_rows(o.payment, o)]
    groups = ((main, _OPEN_WIDTH), (events, len(c.EVENT.names)), (postings, len(c.POSTING.names)))
    return [column for group, width in groups for column in c.transposed(group, width)]


def apply_arguments(changes: list[Change]) -> list[object]:
    """The arrays of `APPLY`."""
    payments = [change.payment for change in changes]
    groups: list[list[rows.Row]] = [
        [
            (p.merchant_id, p.id, p.status not in PAYMENT_HOLDING, change.new_refund is not None, *rows.payment_moving(p))
            for change, p in zip(changes, payments, strict=True)
        ],
        [rows.refund_row(change.new_refund) for change in changes if change.new_refund],
        [rows.attempt_moving(p, attempt) for p in payments for attempt in p.attempts],
        [rows.refund_moving(change.refund) for change in changes if change.refund],
        [rows.event_row(change.payment, event) for change in changes for event in change.events],
        [posting for change in changes for posting in rows.posting_rows(change.payment, change)],
        [rows.case_row(change.payment, change.case) for change in changes if change.case],
    ]
    return [column for group, spec in zip(groups, _APPLY_GROUPS, strict=True) for column in c.transposed(group, len(spec.names))]

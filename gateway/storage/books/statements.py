"""The two statements of the group writer:
one data-modifying CTE over JSON records is one transaction.

`OPEN`: the claim is inserted first; payment, attempt, event and journal come only from its
RETURNING. An order that is split, or just being split, is left alone: `OPEN_IN_ORDER` is the same
statement for the holder of that order's lock (see `gateway.storage.books.split_orders`).

`APPLY`: the payment row is the one thing compared.

- `held` locks the rows in order (unsorted batches deadlock within seconds) and keeps those whose
  version is still the expected one; a new refund must win its own uniqueness before its payment
  moves.
- `moves` unpacks the attempts before they are joined: joined directly, the planner unpacked them
  again for each of a merchant's attempts.
- `grown` opens a payment's next attempt; it counts what `tried` changed, so that the attempt before
  is closed first: one may live.
- `told` are the events that may be written, `queued` the outbox rows they make where an endpoint
  subscribes.

A record that returns nothing lost; its rival is read by a second statement, since the first one's
snapshot cannot see it.
"""

from __future__ import annotations

from gateway.domain.states import PAYMENT_HOLDING
from gateway.storage.books import columns as c

_LOGGED = "merchant_id, id, object_id, version, type, public, data, at"
_POSTED = "merchant_id, posting_id, account, amount, at"
_MOVE = c.joined(c.columns("merchant_id text\nid text"), c.PAYMENT_MOVING)
_ATTEMPT_MOVE = c.joined(c.columns("id text"), c.ATTEMPT_MOVING)
_NEW_ATTEMPT = c.joined(c.columns("merchant_id text\npayment_id text"), c.ATTEMPT)
_REFUND_MOVE = c.joined(c.columns("merchant_id text\npayment_id text\nid text"), c.REFUND_MOVING)
_HOLDING = ", ".join(f"'{status}'" for status in sorted(PAYMENT_HOLDING))

# For every statement that writes events: `told` are the rows of this very statement. An event's
# `notify_url` takes the place of the address of the oldest enabled endpoint of its origin; a
# merchant without an endpoint pays one probe of an index.
QUEUED = """queued AS (
    INSERT INTO outbox (merchant_id, endpoint_id, event_id, type, url, created_at)
    SELECT t.merchant_id, w.id, t.id, t.type,
        CASE WHEN starts_with(t.notify_url, w.origin || '/') AND NOT EXISTS (
            SELECT FROM webhook_endpoint older
            WHERE older.merchant_id = w.merchant_id AND older.enabled AND older.origin = w.origin
              AND (older.created_at, older.id) < (w.created_at, w.id)
        ) THEN t.notify_url END, t.at
    FROM told t JOIN webhook_endpoint w ON w.merchant_id = t.merchant_id AND w.enabled
    WHERE t.public AND (w.event_types IS NULL OR t.type = ANY (w.event_types))
)"""

_SPLIT = """split AS MATERIALIZED (
    SELECT merchant_id, store_id, order_no FROM split_in_store($1::json)
),
"""
_NOT_SPLIT = (
    "WHERE NOT EXISTS (SELECT FROM split s WHERE s.merchant_id = k.merchant_id "
    "AND s.store_id = k.store_id AND s.order_no = k.order_no)\n    "
)
OPEN = f"""
WITH {_SPLIT}input AS MATERIALIZED (SELECT * FROM {c.PAYMENT.recordset(2, "r", "attempts json")}),
won AS (
    INSERT INTO claim ({c.CLAIM.listed()})
    SELECT {c.CLAIM.listed()} FROM {c.CLAIM.recordset(1, "k")}
    {_NOT_SPLIT}ON CONFLICT DO NOTHING RETURNING merchant_id, payment_id
),
paid AS (
    INSERT INTO payment ({c.PAYMENT.listed()})
    SELECT {c.PAYMENT.listed("r.")}
    FROM input r JOIN won w ON w.merchant_id = r.merchant_id AND w.payment_id = r.id
),
tried AS (
    INSERT INTO attempt (merchant_id, payment_id, {c.ATTEMPT.listed()})
    SELECT r.merchant_id, r.id, {c.ATTEMPT.listed("a.")}
    FROM input r JOIN won w ON w.merchant_id = r.merchant_id AND w.payment_id = r.id,
    LATERAL json_to_recordset(r.attempts) AS a({c.ATTEMPT.typed()})
),
told AS MATERIALIZED (
    SELECT e.* FROM {c.EVENT.recordset(3, "e")} JOIN won w USING (merchant_id, payment_id)
),
logged AS (INSERT INTO event ({_LOGGED}) SELECT {_LOGGED} FROM told),
{QUEUED},
posted AS (
    INSERT INTO journal ({_POSTED})
    SELECT {_POSTED}
    FROM {c.POSTING.recordset(4, "j")} JOIN won w USING (merchant_id, payment_id)
)
SELECT merchant_id, payment_id FROM won
"""
OPEN_IN_ORDER = OPEN.replace(_SPLIT, "").replace(_NOT_SPLIT, "")

APPLY = f"""
WITH input AS MATERIALIZED (SELECT * FROM {_MOVE.recordset(1, "r", "attempts json")}),
moves AS MATERIALIZED (
    SELECT r.merchant_id, r.id AS payment_id, t.*
    FROM input r, json_to_recordset(r.attempts) AS t({_ATTEMPT_MOVE.typed()})
),
wanted AS MATERIALIZED (SELECT * FROM {c.REFUND.recordset(2, "f")}),
held AS (
    SELECT p.merchant_id, p.id FROM payment p
    JOIN input r ON p.merchant_id = r.merchant_id AND p.id = r.id AND p.version = r.version - 1
    ORDER BY p.merchant_id, p.id FOR UPDATE OF p
),
asked AS (
    INSERT INTO refund ({c.REFUND.listed()})
    SELECT {c.REFUND.listed("f.")}
    FROM wanted f JOIN held h ON h.merchant_id = f.merchant_id AND h.id = f.payment_id
    ON CONFLICT DO NOTHING RETURNING merchant_id, payment_id
),
moved AS (
    UPDATE payment p SET {c.PAYMENT_MOVING.assigned("r", frozenset())}
    FROM input r JOIN held h USING (merchant_id, id)
    WHERE p.merchant_id = r.merchant_id AND p.id = r.id AND p.version = r.version - 1
      AND (
        NOT EXISTS (
          SELECT FROM wanted f WHERE f.merchant_id = r.merchant_id AND f.payment_id = r.id
        )
        OR EXISTS (
          SELECT FROM asked a WHERE a.merchant_id = r.merchant_id AND a.payment_id = r.id
        )
      )
    RETURNING p.merchant_id, p.id AS payment_id, p.status
),
tried AS (
    UPDATE attempt a SET {c.ATTEMPT_MOVING.assigned("t", frozenset())}
    FROM moves t JOIN moved m USING (merchant_id, payment_id)
    WHERE a.merchant_id = t.merchant_id AND a.id = t.id
    RETURNING a.merchant_id, a.payment_id
),
grown AS (
    INSERT INTO attempt (merchant_id, payment_id, {c.ATTEMPT.listed()})
    SELECT merchant_id, payment_id, {c.ATTEMPT.listed("n.")}
    FROM {_NEW_ATTEMPT.recordset(7, "n")}
    JOIN (
      SELECT merchant_id, payment_id, count(*) FROM tried GROUP BY merchant_id, payment_id
    ) closed USING (merchant_id, payment_id)
),
refunded AS (
    UPDATE refund f SET {c.REFUND_MOVING.assigned("t", frozenset())}
    FROM {_REFUND_MOVE.recordset(3, "t")} JOIN moved m USING (merchant_id, payment_id)
    WHERE f.merchant_id = t.merchant_id AND f.id = t.id
),
released AS (
    UPDATE claim k SET holds = false FROM moved m
    WHERE m.status NOT IN ({_HOLDING})
      AND k.merchant_id = m.merchant_id AND k.payment_id = m.payment_id AND k.holds
),
told AS MATERIALIZED (
    SELECT e.* FROM {c.EVENT.recordset(4, "e")} JOIN moved m USING (merchant_id, payment_id)
),
logged AS (INSERT INTO event ({_LOGGED}) SELECT {_LOGGED} FROM told),
{QUEUED},
posted AS (
    INSERT INTO journal ({_POSTED})
    SELECT {_POSTED}
    FROM {c.POSTING.recordset(5, "j")} JOIN moved m USING (merchant_id, payment_id)
),
opened AS (
    INSERT INTO "case"
      (merchant_id, id, kind, object_id, attempt_id, refund_id, evidence, opened_at)
    SELECT k.merchant_id, k.id, k.kind, k.payment_id, k.attempt_id, k.refund_id, k.evidence, k.at
    FROM {c.CASE.recordset(6, "k")} JOIN moved m USING (merchant_id, payment_id)
    ON CONFLICT DO NOTHING RETURNING merchant_id, object_id
)
SELECT h.merchant_id, h.id AS payment_id, m.payment_id IS NOT NULL AS moved,
  EXISTS (
    SELECT FROM opened o WHERE o.merchant_id = h.merchant_id AND o.object_id = h.id
  ) AS case_opened
FROM held h LEFT JOIN moved m ON m.merchant_id = h.merchant_id AND m.payment_id = h.id
"""

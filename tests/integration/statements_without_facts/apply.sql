WITH input AS MATERIALIZED (SELECT * FROM json_to_recordset($1::json) AS r(merchant_id text, id text, version int, status text, qr_code text, paid_at timestamptz, payer_masked text, discounts json, failure json, cancel_requested_at timestamptz, frozen_at timestamptz, late_refund text, overridden_at timestamptz, overridden_by text, attempts json)),
moves AS MATERIALIZED (
    SELECT r.merchant_id, r.id AS payment_id, t.*
    FROM input r, json_to_recordset(r.attempts) AS t(id text, status text, epoch int, due_at timestamptz, queries int, not_founds int, cancels int, silences int, last_cancel text, channel_trade_no text, captured_amount bigint, received_amount bigint, reserved_amount bigint, returned_amount bigint, evidence json)
),
wanted AS MATERIALIZED (SELECT * FROM json_to_recordset($2::json) AS f(merchant_id text, id text, payment_id text, attempt_id text, channel text, channel_account text, refund_no text, out_refund_no text, amount bigint, currency text, origin text, reason text, operator_id text, idempotency_key text, created_at timestamptz, version int, status text, channel_refund_no text, failure_code text, channel_code text, refunded_at timestamptz, due_at timestamptz, tries int, silences int, evidence json)),
held AS (
    SELECT p.merchant_id, p.id FROM payment p
    JOIN input r ON p.merchant_id = r.merchant_id AND p.id = r.id AND p.version = r.version - 1
    ORDER BY p.merchant_id, p.id FOR UPDATE OF p
),
asked AS (
    INSERT INTO refund (merchant_id, id, payment_id, attempt_id, channel, channel_account, refund_no, out_refund_no, amount, currency, origin, reason, operator_id, idempotency_key, created_at, version, status, channel_refund_no, failure_code, channel_code, refunded_at, due_at, tries, silences, evidence)
    SELECT f.merchant_id, f.id, f.payment_id, f.attempt_id, f.channel, f.channel_account, f.refund_no, f.out_refund_no, f.amount, f.currency, f.origin, f.reason, f.operator_id, f.idempotency_key, f.created_at, f.version, f.status, f.channel_refund_no, f.failure_code, f.channel_code, f.refunded_at, f.due_at, f.tries, f.silences, f.evidence
    FROM wanted f JOIN held h ON h.merchant_id = f.merchant_id AND h.id = f.payment_id
    ON CONFLICT DO NOTHING RETURNING merchant_id, payment_id
),
moved AS (
    UPDATE payment p SET version = r.version, status = r.status, qr_code = r.qr_code, paid_at = r.paid_at, payer_masked = r.payer_masked, discounts = r.discounts, failure = r.failure, cancel_requested_at = r.cancel_requested_at, frozen_at = r.frozen_at, late_refund = r.late_refund, overridden_at = r.overridden_at, overridden_by = r.overridden_by
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
    UPDATE attempt a SET status = t.status, epoch = t.epoch, due_at = t.due_at, queries = t.queries, not_founds = t.not_founds, cancels = t.cancels, silences = t.silences, last_cancel = t.last_cancel, channel_trade_no = t.channel_trade_no, captured_amount = t.captured_amount, received_amount = t.received_amount, reserved_amount = t.reserved_amount, returned_amount = t.returned_amount, evidence = t.evidence
    FROM moves t JOIN moved m USING (merchant_id, payment_id)
    WHERE a.merchant_id = t.merchant_id AND a.id = t.id
    RETURNING a.merchant_id, a.payment_id
),
grown AS (
    INSERT INTO attempt (merchant_id, payment_id, id, number, trade_number, channel, channel_account, out_trade_no, why, worker_id, sent_at, send_by, not_after, status, epoch, due_at, queries, not_founds, cancels, silences, last_cancel, channel_trade_no, captured_amount, received_amount, reserved_amount, returned_amount, evidence)
    SELECT merchant_id, payment_id, n.id, n.number, n.trade_number, n.channel, n.channel_account, n.out_trade_no, n.why, n.worker_id, n.sent_at, n.send_by, n.not_after, n.status, n.epoch, n.due_at, n.queries, n.not_founds, n.cancels, n.silences, n.last_cancel, n.channel_trade_no, n.captured_amount, n.received_amount, n.reserved_amount, n.returned_amount, n.evidence
    FROM json_to_recordset($7::json) AS n(merchant_id text, payment_id text, id text, number int, trade_number int, channel text, channel_account text, out_trade_no text, why text, worker_id text, sent_at timestamptz, send_by timestamptz, not_after timestamptz, status text, epoch int, due_at timestamptz, queries int, not_founds int, cancels int, silences int, last_cancel text, channel_trade_no text, captured_amount bigint, received_amount bigint, reserved_amount bigint, returned_amount bigint, evidence json)
    JOIN (
      SELECT merchant_id, payment_id, count(*) FROM tried GROUP BY merchant_id, payment_id
    ) closed USING (merchant_id, payment_id)
),
refunded AS (
    UPDATE refund f SET version = t.version, status = t.status, channel_refund_no = t.channel_refund_no, failure_code = t.failure_code, channel_code = t.channel_code, refunded_at = t.refunded_at, due_at = t.due_at, tries = t.tries, silences = t.silences, evidence = t.evidence
    FROM json_to_recordset($3::json) AS t(merchant_id text, payment_id text, id text, version int, status text, channel_refund_no text, failure_code text, channel_code text, refunded_at timestamptz, due_at timestamptz, tries int, silences int, evidence json) JOIN moved m USING (merchant_id, payment_id)
    WHERE f.merchant_id = t.merchant_id AND f.id = t.id
),
released AS (
    UPDATE claim k SET holds = false FROM moved m
    WHERE m.status NOT IN ('awaiting_payer', 'in_doubt', 'processing', 'succeeded')
      AND k.merchant_id = m.merchant_id AND k.payment_id = m.payment_id AND k.holds
),
told AS MATERIALIZED (
    SELECT e.* FROM json_to_recordset($4::json) AS e(merchant_id text, payment_id text, id text, object_id text, version int, type text, public boolean, data json, at timestamptz, notify_url text) JOIN moved m USING (merchant_id, payment_id)
),
logged AS (INSERT INTO event (merchant_id, id, object_id, version, type, public, data, at) SELECT merchant_id, id, object_id, version, type, public, data, at FROM told),
queued AS (
    INSERT INTO outbox (merchant_id, endpoint_id, event_id, type, url, created_at)
    SELECT t.merchant_id, w.id, t.id, t.type,
        CASE WHEN starts_with(t.notify_url, w.origin || '/') AND NOT EXISTS (
            SELECT FROM webhook_endpoint older
            WHERE older.merchant_id = w.merchant_id AND older.enabled AND older.origin = w.origin
              AND (older.created_at, older.id) < (w.created_at, w.id)
        ) THEN t.notify_url END, t.at
    FROM told t JOIN webhook_endpoint w ON w.merchant_id = t.merchant_id AND w.enabled
    WHERE t.public AND (w.event_types IS NULL OR t.type = ANY (w.event_types))
),
posted AS (
    INSERT INTO journal (merchant_id, posting_id, account, amount, at)
    SELECT merchant_id, posting_id, account, amount, at
    FROM json_to_recordset($5::json) AS j(merchant_id text, payment_id text, posting_id text, account text, amount bigint, at timestamptz) JOIN moved m USING (merchant_id, payment_id)
),
opened AS (
    INSERT INTO "case" (merchant_id, id, kind, object_id, evidence, opened_at)
    SELECT k.merchant_id, k.id, k.kind, k.payment_id, k.evidence, k.at
    FROM json_to_recordset($6::json) AS k(merchant_id text, payment_id text, id text, kind text, evidence json, at timestamptz) JOIN moved m USING (merchant_id, payment_id)
    ON CONFLICT DO NOTHING
)
SELECT h.merchant_id, h.id AS payment_id, m.payment_id IS NOT NULL AS moved
FROM held h LEFT JOIN moved m ON m.merchant_id = h.merchant_id AND m.payment_id = h.id

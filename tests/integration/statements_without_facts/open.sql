WITH split AS MATERIALIZED (SELECT merchant_id, order_no FROM split_orders($1::json)),
input AS MATERIALIZED (SELECT * FROM json_to_recordset($2::json) AS r(merchant_id text, id text, store_id text, terminal_id text, operator_id text, order_no text, tender_no int, amount bigint, currency text, channel text, flow text, description text, metadata json, tendered bigint, change bigint, business_date date, created_at timestamptz, expires_at timestamptz, notify_url text, version int, status text, qr_code text, paid_at timestamptz, payer_masked text, discounts json, failure json, cancel_requested_at timestamptz, frozen_at timestamptz, late_refund text, overridden_at timestamptz, overridden_by text, attempts json)),
won AS (
    INSERT INTO claim (merchant_id, payment_id, idempotency_key, order_no, tender_no, first_n, holds, fingerprint, created_at)
    SELECT merchant_id, payment_id, idempotency_key, order_no, tender_no, first_n, holds, fingerprint, created_at FROM json_to_recordset($1::json) AS k(merchant_id text, payment_id text, idempotency_key text, order_no text, tender_no int, first_n int, holds boolean, fingerprint text, created_at timestamptz)
    WHERE NOT EXISTS (SELECT FROM split s WHERE s.merchant_id = k.merchant_id AND s.order_no = k.order_no)
    ON CONFLICT DO NOTHING RETURNING merchant_id, payment_id
),
paid AS (
    INSERT INTO payment (merchant_id, id, store_id, terminal_id, operator_id, order_no, tender_no, amount, currency, channel, flow, description, metadata, tendered, change, business_date, created_at, expires_at, notify_url, version, status, qr_code, paid_at, payer_masked, discounts, failure, cancel_requested_at, frozen_at, late_refund, overridden_at, overridden_by)
    SELECT r.merchant_id, r.id, r.store_id, r.terminal_id, r.operator_id, r.order_no, r.tender_no, r.amount, r.currency, r.channel, r.flow, r.description, r.metadata, r.tendered, r.change, r.business_date, r.created_at, r.expires_at, r.notify_url, r.version, r.status, r.qr_code, r.paid_at, r.payer_masked, r.discounts, r.failure, r.cancel_requested_at, r.frozen_at, r.late_refund, r.overridden_at, r.overridden_by
    FROM input r JOIN won w ON w.merchant_id = r.merchant_id AND w.payment_id = r.id
),
tried AS (
    INSERT INTO attempt (merchant_id, payment_id, id, number, trade_number, channel, channel_account, out_trade_no, why, worker_id, sent_at, send_by, not_after, status, epoch, due_at, queries, not_founds, cancels, silences, last_cancel, channel_trade_no, captured_amount, received_amount, reserved_amount, returned_amount, evidence)
    SELECT r.merchant_id, r.id, a.id, a.number, a.trade_number, a.channel, a.channel_account, a.out_trade_no, a.why, a.worker_id, a.sent_at, a.send_by, a.not_after, a.status, a.epoch, a.due_at, a.queries, a.not_founds, a.cancels, a.silences, a.last_cancel, a.channel_trade_no, a.captured_amount, a.received_amount, a.reserved_amount, a.returned_amount, a.evidence
    FROM input r JOIN won w ON w.merchant_id = r.merchant_id AND w.payment_id = r.id,
    LATERAL json_to_recordset(r.attempts) AS a(id text, number int, trade_number int, channel text, channel_account text, out_trade_no text, why text, worker_id text, sent_at timestamptz, send_by timestamptz, not_after timestamptz, status text, epoch int, due_at timestamptz, queries int, not_founds int, cancels int, silences int, last_cancel text, channel_trade_no text, captured_amount bigint, received_amount bigint, reserved_amount bigint, returned_amount bigint, evidence json)
),
told AS MATERIALIZED (
    SELECT e.* FROM json_to_recordset($3::json) AS e(merchant_id text, payment_id text, id text, object_id text, version int, type text, public boolean, data json, at timestamptz, notify_url text) JOIN won w USING (merchant_id, payment_id)
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
    FROM json_to_recordset($4::json) AS j(merchant_id text, payment_id text, posting_id text, account text, amount bigint, at timestamptz) JOIN won w USING (merchant_id, payment_id)
)
SELECT merchant_id, payment_id FROM won

-- Webhook slots are shared among merchants: of each at most `per_merchant` deliveries are under way, over all its endpoints, and those that
-- have fewer under way are served first. One merchant with many endpoints that answer slowly took every slot of a courier.
--
-- The function of three parameters stays for an older worker.
CREATE INDEX outbox_busy ON outbox (leased_until) WHERE leased_until IS NOT NULL;

CREATE FUNCTION take_outbox(
    at_most int, lease interval, per_endpoint int, per_merchant int
) RETURNS TABLE (
    merchant_id text, endpoint_id text, event_id text, type text, created_at timestamptz, url text, data text, tries int,
    first_due_at timestamptz, numbers int[], sealed bytea[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    present timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('tillgate.outbox'));
    present := clock_timestamp();
    RETURN QUERY
    WITH RECURSIVE queue (id) AS (                 -- each endpoint for which something waits, by one probe an endpoint
        (SELECT o.endpoint_id FROM outbox o WHERE o.state = 'waiting' ORDER BY o.endpoint_id LIMIT 1)
        UNION ALL
        SELECT (SELECT o.endpoint_id FROM outbox o WHERE o.state = 'waiting' AND o.endpoint_id > q.id ORDER BY o.endpoint_id LIMIT 1)
        FROM queue q WHERE q.id IS NOT NULL
    ),
    busy AS MATERIALIZED (                         -- what each merchant has under way, over all its endpoints
        SELECT l.merchant_id, count(*)::int AS leases FROM outbox l
        WHERE l.leased_until > present GROUP BY l.merchant_id
    ),
    waits AS MATERIALIZED (
        SELECT d.event_id, d.endpoint_id, d.merchant_id, d.due_at, coalesce(d.url, e.url) AS url
        FROM queue q
        JOIN webhook_endpoint e ON e.id = q.id AND e.enabled
        CROSS JOIN LATERAL (
            SELECT least(e.concurrency, per_endpoint) - count(*)::int AS room
            FROM outbox l WHERE l.endpoint_id = e.id AND l.leased_until > present
        ) free
        CROSS JOIN LATERAL (
            SELECT o.event_id, o.endpoint_id, o.merchant_id, o.url, o.due_at FROM outbox o
            WHERE o.endpoint_id = e.id AND o.state = 'waiting' AND o.due_at <= present
              AND (o.leased_until IS NULL OR o.leased_until <= present)
            ORDER BY o.due_at LIMIT greatest(free.room, 0) FOR UPDATE SKIP LOCKED
        ) d
    ),
    turns AS (                                     -- a merchant's nth delivery under way comes in the nth round
        SELECT w.*, coalesce(b.leases, 0)
            + row_number() OVER (PARTITION BY w.merchant_id ORDER BY w.due_at, w.event_id) AS turn
        FROM waits w LEFT JOIN busy b ON b.merchant_id = w.merchant_id
    ),
    ready AS MATERIALIZED (
        SELECT t.event_id, t.endpoint_id, t.merchant_id, t.url FROM turns t
        WHERE t.turn <= per_merchant ORDER BY t.turn, t.due_at LIMIT at_most
    ),
    taken AS (
        UPDATE outbox o SET tries = o.tries + 1, leased_until = present + lease FROM ready r
        WHERE o.event_id = r.event_id AND o.endpoint_id = r.endpoint_id AND o.merchant_id = r.merchant_id
        RETURNING o.merchant_id, o.endpoint_id, o.event_id, o.type, o.created_at, r.url, o.tries, o.first_due_at, o.due_at
    )
    SELECT t.merchant_id, t.endpoint_id, t.event_id, t.type, t.created_at, t.url, ev.data::text, t.tries, t.first_due_at,
           s.numbers, s.sealed
    FROM taken t
    JOIN event ev ON ev.id = t.event_id AND ev.merchant_id = t.merchant_id
    CROSS JOIN LATERAL (
        SELECT array_agg(k.number ORDER BY k.number DESC) AS numbers, array_agg(k.sealed ORDER BY k.number DESC) AS sealed
        FROM webhook_secret k
        WHERE k.endpoint_id = t.endpoint_id AND k.merchant_id = t.merchant_id AND (k.ends_at IS NULL OR k.ends_at > present)
    ) s
    ORDER BY t.due_at;
END $$;

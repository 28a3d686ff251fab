-- Webhooks: where merchants want to be told, what is still to be told, and what they answered.
--
-- A row of `outbox` is written by the very statement that writes the event, for each endpoint that subscribes (ADR 0017). A merchant
-- without an endpoint pays one probe of an index a public event. Keys lead with the selective column (ADR 0016).

ALTER TABLE payment ADD COLUMN notify_url text;   -- takes the place of the url of the endpoint of the same origin, for this payment

CREATE TABLE webhook_endpoint (
    merchant_id     text NOT NULL REFERENCES merchant,
    id              text NOT NULL UNIQUE,
    url             text NOT NULL,
    origin          text NOT NULL,                 -- scheme://host[:port]; `url` begins with it and a slash
    event_types     text[] CHECK (cardinality(event_types) > 0),   -- NULL: all
    concurrency     int NOT NULL CHECK (concurrency >= 1),         -- deliveries under way at once
    enabled         boolean NOT NULL DEFAULT true,
    disabled_reason text,
    idempotency_key text,                          -- NULL: made by the command line
    created_at      timestamptz NOT NULL DEFAULT now(),
    changed_xid     xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (merchant_id, id),
    UNIQUE (idempotency_key, merchant_id),
    CHECK (enabled = (disabled_reason IS NULL)),
    CHECK (starts_with(url, origin || '/'))
);
CREATE TRIGGER stamp BEFORE UPDATE ON webhook_endpoint FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE INDEX webhook_endpoint_changed ON webhook_endpoint (changed_xid);
CREATE INDEX webhook_endpoint_told ON webhook_endpoint (merchant_id) WHERE enabled;

-- The newest signs alone once the others have ended; while a secret rotates, the newest few that have not.
CREATE TABLE webhook_secret (
    merchant_id text NOT NULL,
    endpoint_id text NOT NULL,
    number      int NOT NULL CHECK (number >= 1),
    sealed      bytea NOT NULL,                    -- AES-256-GCM, bound to endpoint and number
    created_at  timestamptz NOT NULL DEFAULT now(),
    ends_at     timestamptz,                       -- NULL: the newest
    PRIMARY KEY (endpoint_id, number, merchant_id),
    FOREIGN KEY (merchant_id, endpoint_id) REFERENCES webhook_endpoint (merchant_id, id)
);
CREATE UNIQUE INDEX webhook_secret_newest ON webhook_secret (endpoint_id, merchant_id) WHERE ends_at IS NULL;

-- `tries` only grows: it is the fence, whoever resends. `leased_until` is NULL when nobody is delivering. Times are the database's.
CREATE TABLE outbox (
    merchant_id  text NOT NULL,
    endpoint_id  text NOT NULL,
    event_id     text NOT NULL,
    type         text NOT NULL,
    url          text,                             -- the payment's notify_url; NULL: the endpoint's own
    created_at   timestamptz NOT NULL,             -- the event's
    state        text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'dead')),
    tries        int NOT NULL DEFAULT 0 CHECK (tries >= 0),
    first_due_at timestamptz NOT NULL DEFAULT now(),   -- of this round: a resend begins a new one
    due_at       timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz,
    PRIMARY KEY (event_id, endpoint_id, merchant_id),
    CHECK (leased_until IS NULL OR state = 'waiting')
);
CREATE INDEX outbox_due ON outbox (endpoint_id, due_at) WHERE state = 'waiting';
CREATE INDEX outbox_leased ON outbox (endpoint_id, leased_until) WHERE leased_until IS NOT NULL;
CREATE INDEX outbox_dead ON outbox (endpoint_id, created_at) WHERE state = 'dead';
CREATE INDEX outbox_newest ON outbox (endpoint_id, created_at, event_id) WHERE tries >= 0;   -- the list's own: always true

-- What came of each try, and a try that had lost its lease too.
CREATE TABLE delivery (
    merchant_id text NOT NULL,
    endpoint_id text NOT NULL,
    event_id    text NOT NULL,
    try         int NOT NULL CHECK (try >= 1),
    at          timestamptz NOT NULL,
    status      int,                               -- NULL: no answer
    words       text NOT NULL,
    took_ms     int NOT NULL CHECK (took_ms >= 0),
    PRIMARY KEY (event_id, endpoint_id, try, merchant_id)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON delivery FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Leases what is due: of each endpoint its oldest, as many as may be under way at once; then the oldest of those. One taker at a time,
-- so that the count of leases is true; the lock ends with the statement, whatever becomes of the taker. A function, because a plain
-- statement would count with the snapshot it had before it waited for the lock.
CREATE FUNCTION take_outbox(at_most int, lease interval, per_endpoint int) RETURNS TABLE (
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
    ready AS MATERIALIZED (
        SELECT d.event_id, d.endpoint_id, d.merchant_id, coalesce(d.url, e.url) AS url
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
        ORDER BY d.due_at LIMIT at_most
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

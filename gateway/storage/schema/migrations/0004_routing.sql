-- Routing and health: what merchants want tried first, whom an operator keeps payments away from, and what breakers and scores did.

ALTER TABLE channel_account
    ADD COLUMN drained_at timestamptz,
    ADD COLUMN drained_reason text,
    ADD CONSTRAINT drained_for_a_reason CHECK ((drained_at IS NULL) = (drained_reason IS NULL));

-- A version is never changed: a new one takes its place. The newest of a store stands before the merchant's, unless it is empty.
CREATE TABLE rule_set (
    merchant_id text NOT NULL REFERENCES merchant,
    store_id    text,                              -- NULL: for every store without one of its own
    version     int NOT NULL CHECK (version >= 1),
    rules       json NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text NOT NULL,
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    FOREIGN KEY (merchant_id, store_id) REFERENCES store (merchant_id, id)
);
CREATE UNIQUE INDEX rule_set_version ON rule_set (merchant_id, coalesce(store_id, ''), version);
CREATE INDEX rule_set_changed ON rule_set (changed_xid);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rule_set FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Written off the road of payments; while PostgreSQL is away some may be lost, and are counted. `worker`: who saw it, or the person.
CREATE TABLE channel_health_event (
    merchant_id text NOT NULL,
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    account     text NOT NULL,
    operation   text NOT NULL,                     -- pay, query, …; * for all of them
    what        text NOT NULL,                     -- breaker, score, drain
    was         text NOT NULL,
    "to"        text NOT NULL,
    reason      text NOT NULL,
    worker      text NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (seq, merchant_id)
);
CREATE INDEX channel_health_event_newest ON channel_health_event (account, seq);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON channel_health_event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

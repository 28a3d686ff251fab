-- Who did what to keys, accounts, endpoints, rules and cases: a row for each act, in the transaction
-- of the act. And a hash chain over these rows and the event log, in commit order; see
-- security/audit_chain.py.
CREATE TABLE audit (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at          timestamptz NOT NULL DEFAULT now(),
    merchant_id text,               -- NULL: about the whole installation
    asked_as    text NOT NULL CHECK (asked_as IN ('person', 'key', 'gateway')),
    asked_by    text NOT NULL,      -- the person's name in the operating system, the key's id, the worker
    act         text NOT NULL,
    object      text NOT NULL,
    before      json,               -- what the act replaced, without secrets
    after       json
);
CREATE INDEX audit_place ON audit (xid, seq);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- One link stands on the one before it, and no two stand on the same: several builders cannot fork it.
CREATE TABLE audit_chain (
    link     bigint PRIMARY KEY CHECK (link >= 1),
    previous bytea NOT NULL UNIQUE CHECK (length(previous) = 32),
    rows     bytea NOT NULL,        -- places and digests of the rows it covers
    hash     bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    at       timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE audit_chain ALTER COLUMN rows SET STORAGE EXTERNAL;   -- digests: nothing to compress
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_chain FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- History stays in a session that replays another server's changes, too (session_replication_role).
ALTER TABLE event ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE journal ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE override ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE delivery ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE rule_set ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE channel_health_event ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE audit ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE audit_chain ENABLE ALWAYS TRIGGER append_only;

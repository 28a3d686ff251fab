-- Signatures of requests that change something and carry no Idempotency-Key: each acts once.
--
-- A row is written before the request acts, and gets its answer (without secrets) after it. Rows are kept for 600 s, twice as long as a
-- signature is valid, and go away with the next one that is written: these requests are rare. The table is logged like all others: after
-- a crash or on a promoted standby a signature that has acted still acts no more. An older worker, which does not know the table, acts on
-- every repeat until it is replaced.

CREATE TABLE signature_used (
    merchant_id text NOT NULL,
    key_id      text NOT NULL,
    signature   bytea NOT NULL CHECK (octet_length(signature) = 32),   -- its SHA-256: the row is no copy of it
    used_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    status      smallint,                                             -- NULL: under way, or its worker died
    body        bytea,
    PRIMARY KEY (signature, key_id, merchant_id),
    CHECK ((status IS NULL) = (body IS NULL))
);
CREATE INDEX signature_used_at ON signature_used (used_at);

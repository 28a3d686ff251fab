-- The books of the gateway. Money is bigint fen; every key contains merchant_id, so the schema distributes by merchant;
-- what is decided here (uniqueness, transitions, sums) holds whatever the program above believes.
--
-- merchant_id stands last in the keys of the big tables. Most installations have one merchant with nearly all rows, and a plan made before
-- the first ANALYZE cannot know it: every index that began with merchant_id looked as good as the primary key and was taken for it. The
-- lists, which do need it first, are partial on a condition that always holds and that only they state.

-- Who may ask ---------------------------------------------------------------------------------------------------------
CREATE TABLE merchant (
    id          text PRIMARY KEY,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id()
);

CREATE TABLE store (
    merchant_id text NOT NULL REFERENCES merchant,
    id          text NOT NULL,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (merchant_id, id)
);

CREATE TABLE terminal (
    merchant_id text NOT NULL,
    id          text NOT NULL,
    store_id    text NOT NULL,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, id),
    FOREIGN KEY (merchant_id, store_id) REFERENCES store (merchant_id, id)
);

CREATE TABLE api_key (
    id          text PRIMARY KEY,
    merchant_id text NOT NULL REFERENCES merchant,
    store_id    text,
    terminal_id text,
    role        text NOT NULL,
    sealed      bytea NOT NULL,              -- the secret, AES-256-GCM, bound to this id
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz,
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CHECK ((terminal_id IS NULL) = (store_id IS NULL)),
    FOREIGN KEY (merchant_id, terminal_id) REFERENCES terminal (merchant_id, id)
);

CREATE TABLE channel_account (
    merchant_id text NOT NULL REFERENCES merchant,
    id          text NOT NULL UNIQUE,
    channel     text NOT NULL,
    store_id    text,                        -- NULL: serves every store
    priority    int NOT NULL DEFAULT 100,    -- lower is tried first
    enabled     boolean NOT NULL DEFAULT true,
    sealed      bytea NOT NULL,              -- the credentials, AES-256-GCM, bound to this id
    created_at  timestamptz NOT NULL DEFAULT now(),
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (merchant_id, id),
    FOREIGN KEY (merchant_id, store_id) REFERENCES store (merchant_id, id)
);

-- The delta reader asks for rows changed since the oldest transaction it could not yet see.
CREATE FUNCTION stamp_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_xid := pg_current_xact_id();
    RETURN NEW;
END $$;

CREATE TRIGGER stamp BEFORE UPDATE ON merchant FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE TRIGGER stamp BEFORE UPDATE ON store FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE TRIGGER stamp BEFORE UPDATE ON api_key FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE TRIGGER stamp BEFORE UPDATE ON channel_account FOR EACH ROW EXECUTE FUNCTION stamp_change();

CREATE INDEX store_changed ON store (changed_xid);
CREATE INDEX api_key_changed ON api_key (changed_xid);
CREATE INDEX channel_account_changed ON channel_account (changed_xid);

-- A payment -----------------------------------------------------------------------------------------------------------
-- The claim carries the uniqueness rules. It is inserted first; everything else comes only from its RETURNING.
CREATE TABLE claim (
    merchant_id     text NOT NULL,
    idempotency_key text NOT NULL,
    payment_id      text NOT NULL,
    order_no        text NOT NULL,
    tender_no       int NOT NULL,
    first_n         int NOT NULL CHECK (first_n >= 1),
    holds           boolean NOT NULL,
    fingerprint     text NOT NULL,           -- decoded fields as JSON; secrets as keyed digests
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (idempotency_key, merchant_id),
    UNIQUE (payment_id, merchant_id),
    UNIQUE (order_no, tender_no, first_n, merchant_id)
);
CREATE UNIQUE INDEX claim_holds ON claim (order_no, tender_no, merchant_id) WHERE holds;

CREATE TABLE payment (
    merchant_id         text NOT NULL,
    id                  text NOT NULL,
    version             int NOT NULL CHECK (version >= 1),
    status              text NOT NULL,
    store_id            text NOT NULL,
    terminal_id         text,
    operator_id         text,
    order_no            text NOT NULL,
    tender_no           int NOT NULL CHECK (tender_no BETWEEN 1 AND 99),
    amount              bigint NOT NULL CHECK (amount BETWEEN 1 AND 10000000000),
    currency            text NOT NULL CHECK (currency = 'CNY'),
    channel             text NOT NULL,
    flow                text NOT NULL,
    description         text,
    metadata            json NOT NULL,
    tendered            bigint CHECK (tendered >= amount),
    change              bigint CHECK (change = tendered - amount),
    business_date       date NOT NULL,
    created_at          timestamptz NOT NULL,
    expires_at          timestamptz,
    qr_code             text,
    paid_at             timestamptz,
    payer_masked        text,
    discounts           json NOT NULL,
    failure             json,
    cancel_requested_at timestamptz,
    frozen_at           timestamptz,
    late_refund         text,
    PRIMARY KEY (id, merchant_id),
    CHECK (status NOT IN ('failed', 'expired', 'canceled') OR failure IS NOT NULL),
    CHECK (status <> 'succeeded' OR paid_at IS NOT NULL)
);
CREATE INDEX payment_newest ON payment (merchant_id, created_at) WHERE amount > 0;
CREATE INDEX payment_order ON payment (order_no, merchant_id);

CREATE TABLE attempt (
    merchant_id      text NOT NULL,
    id               text NOT NULL,
    payment_id       text NOT NULL,
    number           int NOT NULL,
    trade_number     int NOT NULL,
    channel          text NOT NULL,
    channel_account  text NOT NULL,
    out_trade_no     text NOT NULL,
    status           text NOT NULL,
    why              text NOT NULL,
    worker_id        text NOT NULL,
    epoch            int NOT NULL,
    sent_at          timestamptz NOT NULL,
    send_by          timestamptz NOT NULL,
    not_after        timestamptz NOT NULL,
    due_at           timestamptz,
    queries          int NOT NULL,
    not_founds       int NOT NULL,
    cancels          int NOT NULL,
    silences         int NOT NULL,
    last_cancel      text,
    channel_trade_no text,
    captured_amount  bigint NOT NULL CHECK (captured_amount >= 0),
    received_amount  bigint NOT NULL CHECK (received_amount >= 0),
    reserved_amount  bigint NOT NULL CHECK (reserved_amount >= 0),
    returned_amount  bigint NOT NULL CHECK (returned_amount >= 0),
    evidence         json NOT NULL,
    PRIMARY KEY (id, merchant_id),
    UNIQUE (payment_id, number, merchant_id),
    UNIQUE (out_trade_no),
    -- no foreign key: the one statement that inserts attempts takes them from the payment's RETURNING
    CONSTRAINT refunds_within_capture CHECK (reserved_amount + returned_amount <= captured_amount),
    CONSTRAINT a_no_needs_evidence CHECK (status NOT IN ('declined', 'not_sent', 'reversed') OR json_array_length(evidence) > 0),
    CONSTRAINT money_is_known CHECK ((captured_amount > 0) = (status IN ('succeeded', 'captured_late', 'returned'))),
    CONSTRAINT live_is_watched CHECK (status NOT IN ('pending', 'in_doubt', 'cancelling') OR due_at IS NOT NULL)
);
-- At most one attempt of a payment may still move money.
CREATE UNIQUE INDEX attempt_live ON attempt (payment_id, merchant_id) WHERE status IN ('sent', 'pending', 'in_doubt', 'cancelling');
CREATE INDEX attempt_due ON attempt (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE refund (
    merchant_id       text NOT NULL,
    id                text NOT NULL,
    payment_id        text NOT NULL,
    attempt_id        text NOT NULL,
    version           int NOT NULL CHECK (version >= 1),
    status            text NOT NULL,
    channel           text NOT NULL,
    channel_account   text NOT NULL,
    refund_no         text NOT NULL,
    out_refund_no     text NOT NULL,
    amount            bigint NOT NULL CHECK (amount >= 1),
    currency          text NOT NULL,
    origin            text NOT NULL CHECK (origin IN ('merchant', 'late', 'surplus')),
    reason            text NOT NULL,
    operator_id       text,
    idempotency_key   text,
    channel_refund_no text,
    failure_code      text,
    channel_code      text,
    created_at        timestamptz NOT NULL,
    refunded_at       timestamptz,
    due_at            timestamptz,
    tries             int NOT NULL,
    silences          int NOT NULL,
    evidence          json NOT NULL,
    PRIMARY KEY (id, merchant_id),
    UNIQUE (refund_no, merchant_id),
    UNIQUE (idempotency_key, merchant_id),
    UNIQUE (out_refund_no),
    FOREIGN KEY (payment_id, merchant_id) REFERENCES payment (id, merchant_id),
    CONSTRAINT failed_needs_evidence CHECK (status <> 'failed' OR json_array_length(evidence) > 0),
    CONSTRAINT what_we_owe_never_fails CHECK (status <> 'failed' OR origin = 'merchant'),
    CONSTRAINT open_is_watched CHECK (status NOT IN ('requested', 'processing', 'in_doubt') OR due_at IS NOT NULL)
);
CREATE INDEX refund_payment ON refund (payment_id, merchant_id);
CREATE INDEX refund_newest ON refund (merchant_id, created_at) WHERE amount > 0;
CREATE INDEX refund_due ON refund (due_at) WHERE due_at IS NOT NULL;

-- The log: in commit order by (xid, seq), read only below the oldest running transaction. `data` keeps its exact text.
CREATE TABLE event (
    merchant_id text NOT NULL,
    id          text NOT NULL,
    object_id   text NOT NULL,
    version     int NOT NULL,
    type        text NOT NULL,
    public      boolean NOT NULL,
    data        json NOT NULL,
    at          timestamptz NOT NULL,
    xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (id, merchant_id)
);
CREATE INDEX event_feed ON event (merchant_id, xid, seq) WHERE public;
CREATE INDEX event_object ON event (object_id, version, merchant_id);

CREATE TABLE journal (
    merchant_id text NOT NULL,
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    posting_id  text NOT NULL,               -- the payment or the refund
    account     text NOT NULL,
    amount      bigint NOT NULL CHECK (amount <> 0),   -- fen, debit positive
    at          timestamptz NOT NULL,
    PRIMARY KEY (seq, merchant_id)
);
CREATE INDEX journal_posting ON journal (posting_id, merchant_id);
CREATE INDEX journal_account ON journal (account, merchant_id, seq);

-- Append-only, for everybody: a correction is a new row.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'TG001';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION refuse_unbalanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM posted GROUP BY merchant_id, posting_id HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'a posting does not sum to zero' USING ERRCODE = 'TG002';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER balanced AFTER INSERT ON journal REFERENCING NEW TABLE AS posted
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_unbalanced();

-- What channels and people say ---------------------------------------------------------------------------------------
CREATE TABLE callback (
    account_id   text NOT NULL,
    event_key    text NOT NULL,
    out_trade_no text NOT NULL,
    kind         text NOT NULL,
    body         bytea NOT NULL,
    received_at  timestamptz NOT NULL,
    applied_at   timestamptz,
    PRIMARY KEY (account_id, event_key)
);
CREATE INDEX callback_unapplied ON callback (received_at) WHERE applied_at IS NULL;

CREATE TABLE "case" (
    merchant_id text NOT NULL,
    id          text NOT NULL,
    kind        text NOT NULL,
    object_id   text NOT NULL,
    evidence    json NOT NULL,
    opened_at   timestamptz NOT NULL,
    closed_at   timestamptz,
    closed_by   text,
    reason      text,
    PRIMARY KEY (id, merchant_id),
    CHECK ((closed_at IS NULL) = (closed_by IS NULL) AND (closed_at IS NULL) = (reason IS NULL))
);
CREATE UNIQUE INDEX case_open ON "case" (object_id, kind, merchant_id) WHERE closed_at IS NULL;

CREATE TABLE worker (
    id         text PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT now(),
    beat_at    timestamptz NOT NULL
);

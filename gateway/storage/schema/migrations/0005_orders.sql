-- Orders that several tenders may pay, and what a supervisor overrode.
--
-- Only an order that is split has a row here: one whose tender said `order_amount`, had a number above 1, or came with an override.
-- All its tenders then open one after the other, under its lock. A plain first tender knows no other one, so nothing is looked up for it
-- but that there is no such row (`split_orders` below).
CREATE TABLE "order" (
    merchant_id text NOT NULL,
    order_no    text NOT NULL,
    amount      bigint CHECK (amount BETWEEN 1 AND 10000000000),   -- NULL until a tender said it; then fixed
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (order_no, merchant_id)
);

CREATE FUNCTION refuse_other_amount() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.amount IS NOT NULL AND NEW.amount IS DISTINCT FROM OLD.amount THEN
        RAISE EXCEPTION 'the amount of order % is fixed', OLD.order_no USING ERRCODE = 'TG006';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fixed BEFORE UPDATE ON "order" FOR EACH ROW EXECUTE FUNCTION refuse_other_amount();

ALTER TABLE payment ADD COLUMN overridden_at timestamptz, ADD COLUMN overridden_by text;
ALTER TABLE payment ADD CONSTRAINT override_is_whole CHECK ((overridden_at IS NULL) = (overridden_by IS NULL));

-- The risk record: who let `payment_id` in although `named_id` was in doubt, and for how much.
CREATE TABLE override (
    merchant_id   text NOT NULL,
    payment_id    text NOT NULL,
    named_id      text NOT NULL,
    order_no      text NOT NULL,
    amount        bigint NOT NULL CHECK (amount >= 1),   -- of the payment in doubt: what may have been charged twice
    supervisor_id text NOT NULL,
    reason        text NOT NULL,
    at            timestamptz NOT NULL,
    PRIMARY KEY (payment_id, merchant_id)
);
CREATE INDEX override_named ON override (named_id, merchant_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON override FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The lock of an order, until the transaction ends. Two orders may share one, which costs only waiting.
CREATE FUNCTION order_lock(merchant_id text, order_no text) RETURNS int LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtext(merchant_id || ' ' || order_no)
$$;

-- Which orders of these claims are split, or just being split. A batch of openings takes the locks of its orders shared and asks then:
-- whoever splits an order holds its lock alone, so either we see the row, or we hold the lock first and are seen by whoever comes for it.
-- Two statements of a function, because the first one's snapshot may be older than its locks; trying, because a batch must not wait
-- behind one order.
CREATE FUNCTION split_orders(claims json) RETURNS TABLE (merchant_id text, order_no text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    busy int[];
BEGIN
    busy := ARRAY(
        SELECT l.lock FROM (
            SELECT DISTINCT order_lock(k.merchant_id, k.order_no) AS lock FROM json_to_recordset(claims) AS k(merchant_id text, order_no text)
        ) l WHERE NOT pg_try_advisory_xact_lock_shared(hashtext('tillgate.order'), l.lock)
    );
    RETURN QUERY
    SELECT k.merchant_id, k.order_no FROM json_to_recordset(claims) AS k(merchant_id text, order_no text)
    WHERE order_lock(k.merchant_id, k.order_no) = ANY (busy)
       OR EXISTS (SELECT FROM "order" o WHERE o.merchant_id = k.merchant_id AND o.order_no = k.order_no);
END $$;

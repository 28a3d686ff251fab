-- Order numbers and the keys of requests are unique per store, for ever. Until now they were unique
-- per merchant: two stores could not both have a bill A001.
--
-- `numbering` is the rule by which a row was made (gateway/domain/words.py). 1: an order number is
-- one bill of the merchant, and the channel order numbers are made without the store. 2: it is one
-- bill of a store, and the store is in them. A worker makes rows of 2 once every living worker has
-- reported that it knows the rule (worker.knows), and rows of 1 until then.
--
-- An older worker may run beside this schema. It makes rows of 1 and names no store in its claims:
-- the trigger `older` takes the store from the fingerprint, where it always stood. Among rows of 1
-- its own rules go on to hold (the indexes `claim_by_merchant_…` of 0031), so what it reads by
-- merchant is one row, as it believes. Once rows of 2 exist there is no way back to it.
ALTER TABLE claim ADD COLUMN store_id text, ADD COLUMN numbering int NOT NULL DEFAULT 1;
ALTER TABLE claim ADD CONSTRAINT claim_numbering CHECK (numbering IN (1, 2)) NOT VALID;
ALTER TABLE payment ADD COLUMN numbering int NOT NULL DEFAULT 1;
ALTER TABLE payment ADD CONSTRAINT payment_numbering CHECK (numbering IN (1, 2)) NOT VALID;

-- The orders of a store that several tenders may pay; what "order" is for a merchant. "order" is
-- read and written beside it for rows of 1, and goes once no older worker runs.
CREATE TABLE split_order (
    merchant_id text NOT NULL,
    store_id    text NOT NULL,
    order_no    text NOT NULL,
    amount      bigint,                      -- NULL until a tender said it; then fixed
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (order_no, store_id, merchant_id),
    CONSTRAINT split_order_amount CHECK (amount BETWEEN 1 AND 10000000000)
);
CREATE TRIGGER fixed BEFORE UPDATE ON split_order FOR EACH ROW EXECUTE FUNCTION refuse_other_amount();

-- An order that was paid in two stores becomes one order of each, with the whole amount: what one
-- store may take of it no longer depends on the other.
INSERT INTO split_order (merchant_id, store_id, order_no, amount, created_at)
SELECT DISTINCT o.merchant_id, p.store_id, o.order_no, o.amount, o.created_at
FROM "order" o JOIN payment p ON p.order_no = o.order_no AND p.merchant_id = o.merchant_id;

CREATE FUNCTION claim_for_store() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.store_id := NEW.fingerprint::json->>'store_id';
    INSERT INTO split_order (merchant_id, store_id, order_no, amount, created_at)
    SELECT o.merchant_id, NEW.store_id, o.order_no, o.amount, o.created_at FROM "order" o
    WHERE o.order_no = NEW.order_no AND o.merchant_id = NEW.merchant_id
    ON CONFLICT (order_no, store_id, merchant_id) DO UPDATE SET amount = excluded.amount
    WHERE split_order.amount IS NULL AND excluded.amount IS NOT NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER older BEFORE INSERT ON claim FOR EACH ROW WHEN (NEW.store_id IS NULL)
    EXECUTE FUNCTION claim_for_store();

-- As `split_orders` of 0005, for claims that name their store. The lock of an order stays that of its
-- number in the merchant, so that an older worker and a new one take the same.
CREATE FUNCTION split_in_store(claims json)
RETURNS TABLE (merchant_id text, store_id text, order_no text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    busy int[];
BEGIN
    busy := ARRAY(
        SELECT l.lock FROM (
            SELECT DISTINCT order_lock(k.merchant_id, k.order_no) AS lock
            FROM json_to_recordset(claims) AS k(merchant_id text, order_no text)
        ) l WHERE NOT pg_try_advisory_xact_lock_shared(hashtext('tillgate.order'), l.lock)
    );
    RETURN QUERY
    SELECT k.merchant_id, k.store_id, k.order_no
    FROM json_to_recordset(claims)
        AS k(merchant_id text, store_id text, order_no text, numbering int)
    WHERE order_lock(k.merchant_id, k.order_no) = ANY (busy)
       OR EXISTS (
        SELECT FROM split_order o WHERE o.order_no = k.order_no
          AND o.store_id = k.store_id AND o.merchant_id = k.merchant_id
       )
       OR k.numbering = 1 AND EXISTS (
        SELECT FROM "order" o WHERE o.order_no = k.order_no AND o.merchant_id = k.merchant_id
       );
END $$;

-- The stores of the claims from before, in steps that an older worker does not wait for.
CREATE PROCEDURE fill_stores_of_claims() LANGUAGE plpgsql AS $$
DECLARE
    last record;
    payment_from text := '';
    merchant_from text := '';
BEGIN
    LOOP
        WITH few AS (
            SELECT k.payment_id, k.merchant_id FROM claim k
            WHERE (k.payment_id, k.merchant_id) > (payment_from, merchant_from)
              AND k.store_id IS NULL
            ORDER BY k.payment_id, k.merchant_id LIMIT 1000
        ), filled AS (
            UPDATE claim k SET store_id = p.store_id FROM few f, payment p
            WHERE k.payment_id = f.payment_id AND k.merchant_id = f.merchant_id
              AND p.id = f.payment_id AND p.merchant_id = f.merchant_id
            RETURNING k.payment_id, k.merchant_id
        )
        SELECT payment_id, merchant_id INTO last FROM filled
        ORDER BY payment_id DESC, merchant_id DESC LIMIT 1;
        EXIT WHEN NOT FOUND;
        payment_from := last.payment_id;
        merchant_from := last.merchant_id;
        COMMIT;
    END LOOP;
END $$;

-- Who asked: the key that signed. Cash is given back out of the drawer of the till that asked, so a
-- refund has that till too; and its idempotency key counts within its store, as a payment's does.
--
-- NULL: from before, or from an older worker beside this schema.
ALTER TABLE payment ADD COLUMN asked_by text;
ALTER TABLE payment ADD COLUMN cancel_requested_by text;
ALTER TABLE refund ADD COLUMN asked_by text;
ALTER TABLE refund ADD COLUMN terminal_id text;
ALTER TABLE refund ADD COLUMN store_id text;

UPDATE refund f SET store_id = p.store_id
FROM payment p WHERE p.id = f.payment_id AND p.merchant_id = f.merchant_id;

-- An older worker does not say the store.
CREATE FUNCTION fill_refund_store() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT p.store_id INTO NEW.store_id FROM payment p
    WHERE p.id = NEW.payment_id AND p.merchant_id = NEW.merchant_id;
    RETURN NEW;
END $$;
CREATE TRIGGER fill_store BEFORE INSERT ON refund FOR EACH ROW
    WHEN (NEW.store_id IS NULL) EXECUTE FUNCTION fill_refund_store();
ALTER TABLE refund ALTER COLUMN store_id SET NOT NULL;

CREATE UNIQUE INDEX refund_key ON refund (idempotency_key, store_id, merchant_id);
ALTER TABLE refund DROP CONSTRAINT refund_idempotency_key_merchant_id_key;

-- no-transaction
-- The claims' stores, and the rules of 0030 as indexes, built while payments go on.
CALL fill_stores_of_claims();
CREATE UNIQUE INDEX CONCURRENTLY claim_key ON claim (idempotency_key, store_id, merchant_id);
CREATE UNIQUE INDEX CONCURRENTLY claim_number ON claim (order_no, tender_no, first_n, store_id, merchant_id);
CREATE UNIQUE INDEX CONCURRENTLY claim_holder ON claim (order_no, tender_no, store_id, merchant_id) WHERE holds;
CREATE UNIQUE INDEX CONCURRENTLY claim_by_merchant_key ON claim (idempotency_key, merchant_id) WHERE numbering = 1;
CREATE UNIQUE INDEX CONCURRENTLY claim_by_merchant_number ON claim (order_no, tender_no, first_n, merchant_id) WHERE numbering = 1;
CREATE UNIQUE INDEX CONCURRENTLY claim_by_merchant_holder ON claim (order_no, tender_no, merchant_id) WHERE holds AND numbering = 1;
ALTER TABLE claim ADD CONSTRAINT claim_has_store CHECK (store_id IS NOT NULL) NOT VALID;
ALTER TABLE claim VALIDATE CONSTRAINT claim_has_store;
ALTER TABLE claim VALIDATE CONSTRAINT claim_numbering;
ALTER TABLE payment VALIDATE CONSTRAINT payment_numbering;

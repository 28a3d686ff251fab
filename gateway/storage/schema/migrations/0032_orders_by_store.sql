-- The rules per merchant go: those of 0031 stand in their place. Nothing here reads the table: that
-- every claim has a store was looked at before.
ALTER TABLE claim ALTER COLUMN store_id SET NOT NULL;
ALTER TABLE claim DROP CONSTRAINT claim_has_store;
ALTER TABLE claim DROP CONSTRAINT claim_pkey;
ALTER TABLE claim ADD CONSTRAINT claim_pkey PRIMARY KEY USING INDEX claim_key;
ALTER TABLE claim DROP CONSTRAINT claim_order_no_tender_no_first_n_merchant_id_key;
DROP INDEX claim_holds;
DROP PROCEDURE fill_stores_of_claims();

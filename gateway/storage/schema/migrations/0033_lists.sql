-- no-transaction
-- A till of a quiet store walks its own store's rows, not the merchant's; a number that a customer
-- shows is found by itself. None on the status: it changes with every write of a payment.
CREATE INDEX CONCURRENTLY payment_newest_of_store ON payment (merchant_id, store_id, created_at) WHERE amount > 0;
CREATE INDEX CONCURRENTLY refund_newest_of_store ON refund (merchant_id, store_id, created_at) WHERE amount > 0;
CREATE INDEX CONCURRENTLY attempt_channel_trade ON attempt (channel_trade_no) WHERE channel_trade_no IS NOT NULL;

-- no-transaction
-- The chain reads the log in commit order, over all merchants.
CREATE INDEX CONCURRENTLY event_place ON event (xid, seq);

-- The payment in doubt that a supervisor let this one in beside: its answers go on saying that the
-- money of that one goes back. NULL: none, or from before this was kept. A worker of the release
-- before writes NULL and says less.
ALTER TABLE payment ADD COLUMN overrides text CONSTRAINT overrides_another CHECK (overrides <> id);

-- Merchants, stores and terminals can be disabled: the keys below them sign nothing any more. What is
-- under way goes on. A worker of the release before reads none of this and takes the keys until it is
-- gone.

ALTER TABLE merchant ADD COLUMN disabled_at timestamptz;
ALTER TABLE store ADD COLUMN disabled_at timestamptz;
ALTER TABLE terminal ADD COLUMN disabled_at timestamptz;

-- The directory follows terminals, too. Those of today are from before every transaction: so no row is
-- rewritten.
ALTER TABLE terminal ADD COLUMN changed_xid xid8 NOT NULL DEFAULT '0';
ALTER TABLE terminal ALTER COLUMN changed_xid SET DEFAULT pg_current_xact_id();
CREATE TRIGGER stamp BEFORE UPDATE ON terminal FOR EACH ROW EXECUTE FUNCTION stamp_change();

CREATE INDEX merchant_changed ON merchant (changed_xid);
CREATE INDEX terminal_changed ON terminal (changed_xid);

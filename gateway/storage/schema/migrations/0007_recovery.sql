-- The sweeper takes work by channel account, so that an account that hangs delays nobody else; see gateway/storage/due_work.py.
CREATE INDEX attempt_account_due ON attempt (channel_account, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX refund_account_due ON refund (channel_account, due_at) WHERE due_at IS NOT NULL;
DROP INDEX attempt_due;
DROP INDEX refund_due;

-- When the sweeper last began a visit: a till that looks brings the next one forward, never past the channel's pace.
ALTER TABLE attempt ADD COLUMN visited_at timestamptz;

-- "Restored" mode: after a restore from a backup the channels know payments that the books do not. At most one stands at a time.
CREATE TABLE restored (
    id          int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lost_from   timestamptz NOT NULL,        -- what happened after this moment may be missing
    begun_by    text NOT NULL,
    begun_at    timestamptz NOT NULL DEFAULT now(),
    ended_by    text,
    ended_at    timestamptz,
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CHECK (lost_from <= begun_at),
    CHECK ((ended_by IS NULL) = (ended_at IS NULL))
);
CREATE UNIQUE INDEX restored_stands ON restored ((true)) WHERE ended_at IS NULL;
CREATE INDEX restored_changed ON restored (changed_xid);
CREATE TRIGGER stamp BEFORE UPDATE ON restored FOR EACH ROW EXECUTE FUNCTION stamp_change();

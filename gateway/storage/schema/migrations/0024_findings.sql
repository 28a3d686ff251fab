-- Two persons decide about money that no channel decides: one proposes a finding, another one
-- confirms it. The database refuses the same person twice.
--
-- An older worker may run beside this schema. It opens and closes cases as before: what it does not
-- know stays NULL, and it closes no case for which a finding is proposed.

-- The refund that the case shows. NULL where it shows none, and in the cases of an older worker, for
-- which gateway/storage/books/case_list.py finds it.
ALTER TABLE "case" ADD COLUMN refund_id text;
ALTER TABLE "case" ADD COLUMN proposed_as text;
ALTER TABLE "case" ADD COLUMN proposed_by text;
ALTER TABLE "case" ADD COLUMN proposed_at timestamptz;
ALTER TABLE "case" ADD COLUMN proposed_reason text;
ALTER TABLE "case" ADD COLUMN confirmed_by text;
ALTER TABLE "case" ADD CONSTRAINT proposed_whole CHECK (
    (proposed_as IS NULL) = (proposed_by IS NULL)
    AND (proposed_as IS NULL) = (proposed_at IS NULL)
    AND (proposed_as IS NULL) = (proposed_reason IS NULL)
);
ALTER TABLE "case" ADD CONSTRAINT two_persons CHECK (
    confirmed_by IS NULL OR (proposed_by IS NOT NULL AND confirmed_by <> proposed_by)
);
ALTER TABLE "case" ADD CONSTRAINT closed_as_confirmed CHECK (
    closed_at IS NULL OR (proposed_by IS NULL) = (confirmed_by IS NULL)
);

-- What was proposed is what is confirmed: it was there in an earlier write.
CREATE FUNCTION check_confirmation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.proposed_as, NEW.proposed_by) IS DISTINCT FROM (OLD.proposed_as, OLD.proposed_by) THEN
        RAISE EXCEPTION 'case % was confirmed as something else', NEW.id USING ERRCODE = 'TG007';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER confirmation BEFORE UPDATE ON "case" FOR EACH ROW
    WHEN (NEW.confirmed_by IS NOT NULL) EXECUTE FUNCTION check_confirmation();

-- Two refunds of one payment may each wait for a person.
CREATE UNIQUE INDEX case_open_about
    ON "case" (object_id, kind, coalesce(refund_id, ''), merchant_id) WHERE closed_at IS NULL;
DROP INDEX case_open;

-- A person has proposed how the refund ends: it is asked about, and not sent any more.
ALTER TABLE refund ADD COLUMN stopped_at timestamptz;

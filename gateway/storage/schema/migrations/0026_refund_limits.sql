-- What a key may give back: at most so much by one refund, and by all refunds of a business day. NULL:
-- the role's own limit (gateway/domain/refund_limits.py).
ALTER TABLE api_key ADD COLUMN refund_max bigint CHECK (refund_max >= 0);
ALTER TABLE api_key ADD COLUMN refund_day_max bigint CHECK (refund_day_max >= 0);

-- The day's limit under which the refund was asked for. NULL: none, or from an older worker.
ALTER TABLE refund ADD COLUMN day_limit bigint;

-- A till's refunds count together, whichever of its keys asked.
CREATE INDEX refund_asked
    ON refund ((coalesce(terminal_id, asked_by)), created_at) WHERE origin = 'merchant';

-- One refund of a till after the other: the second one sees the first. The sum is of the Shanghai
-- day; what ended failed gave nothing away.
CREATE FUNCTION check_refund_day() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    day_begins timestamptz :=
        date_trunc('day', NEW.created_at AT TIME ZONE 'Asia/Shanghai') AT TIME ZONE 'Asia/Shanghai';
    given bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(
        hashtextextended('refund_day ' || coalesce(NEW.terminal_id, NEW.asked_by), 0)
    );
    SELECT coalesce(sum(f.amount), 0) INTO given FROM refund f
    WHERE coalesce(f.terminal_id, f.asked_by) = coalesce(NEW.terminal_id, NEW.asked_by)
      AND f.merchant_id = NEW.merchant_id AND f.created_at >= day_begins
      AND f.origin = 'merchant' AND f.status <> 'failed';
    IF given > NEW.day_limit THEN
        RAISE EXCEPTION 'refunds of % would exceed their day''s limit',
            coalesce(NEW.terminal_id, NEW.asked_by) USING ERRCODE = 'TG008';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER day_limit AFTER INSERT ON refund FOR EACH ROW
    WHEN (NEW.day_limit IS NOT NULL) EXECUTE FUNCTION check_refund_day();

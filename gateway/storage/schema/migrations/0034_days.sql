-- The two days of money (gateway/domain/days.py). `days` is the rule by which a payment was made. 1:
-- its business day is the calendar day of its opening, for good. 2: the store's day, which follows the
-- success, and the day of the channel's bill. A worker makes rows of 2 once every living worker knows
-- the rule, since one that does not would leave a paid row on the day of its opening.
ALTER TABLE payment ADD COLUMN channel_date date, ADD COLUMN days int NOT NULL DEFAULT 1;
ALTER TABLE payment ADD CONSTRAINT payment_days CHECK (days IN (1, 2)) NOT VALID;
ALTER TABLE refund ADD COLUMN business_date date, ADD COLUMN channel_date date;

-- From its business day `since` on, a store's day begins so many minutes after midnight in Shanghai.
CREATE TABLE cut_off (
    merchant_id text NOT NULL,
    store_id    text NOT NULL,
    since       date NOT NULL,
    begins_min  int NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (store_id, since, merchant_id),
    FOREIGN KEY (merchant_id, store_id) REFERENCES store (merchant_id, id),
    CONSTRAINT cut_off_before_noon CHECK (begins_min BETWEEN 0 AND 719)
);
CREATE TRIGGER stamp BEFORE UPDATE ON cut_off FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE INDEX cut_off_changed ON cut_off (changed_xid);

-- What finance has closed moves no more.
CREATE FUNCTION refuse_other_day() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% %: its days are final', TG_TABLE_NAME, NEW.id USING ERRCODE = 'TG009';
END $$;
CREATE TRIGGER days BEFORE UPDATE ON payment FOR EACH ROW
    WHEN (OLD.paid_at IS NOT NULL AND (NEW.business_date <> OLD.business_date
        OR NEW.channel_date IS DISTINCT FROM OLD.channel_date))
    EXECUTE FUNCTION refuse_other_day();
CREATE TRIGGER days BEFORE UPDATE ON refund FOR EACH ROW
    WHEN (NEW.business_date IS DISTINCT FROM OLD.business_date
        OR OLD.channel_date IS NOT NULL AND NEW.channel_date IS DISTINCT FROM OLD.channel_date)
    EXECUTE FUNCTION refuse_other_day();

-- As in 0026, by the business day of the store. An older worker writes no day: its days begin at
-- midnight.
CREATE OR REPLACE FUNCTION check_refund_day() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    given bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(
        hashtextextended('refund_day ' || coalesce(NEW.terminal_id, NEW.asked_by), 0)
    );
    given := refunds_of_day(
        NEW.merchant_id, coalesce(NEW.terminal_id, NEW.asked_by),
        coalesce(NEW.business_date, (NEW.created_at AT TIME ZONE 'Asia/Shanghai')::date)
    );
    IF given > NEW.day_limit THEN
        RAISE EXCEPTION 'refunds of % would exceed their day''s limit',
            coalesce(NEW.terminal_id, NEW.asked_by) USING ERRCODE = 'TG008';
    END IF;
    RETURN NULL;
END $$;

-- A business day lies within its calendar day and the next forenoon: the rest is not read.
CREATE FUNCTION refunds_of_day(merchant text, asker text, day date) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(f.amount), 0)::bigint FROM refund f
    WHERE coalesce(f.terminal_id, f.asked_by) = asker AND f.merchant_id = merchant
      AND f.created_at >= day::timestamp AT TIME ZONE 'Asia/Shanghai'
      AND coalesce(f.business_date, (f.created_at AT TIME ZONE 'Asia/Shanghai')::date) = day
      AND f.origin = 'merchant' AND f.status <> 'failed'
$$;

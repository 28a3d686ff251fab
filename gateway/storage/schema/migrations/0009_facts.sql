-- Facts that decisions need, in columns of their own. Until now they were read out of the evidence, a
-- bounded list for people whose middle is dropped. The few rows that are still undecided, and the
-- surplus captures, get their facts here; of any other row nothing is asked again.
--
-- An older worker may run beside this schema. It writes none of these columns and adds to the
-- evidence as before, so the triggers below note for it what it does not. For a worker that knows
-- the columns they find nothing to do; they may go once no older worker runs.

-- When the channel said that it waits for the payer; NULL once it says anything else. Where an older
-- worker hears something else, the moment stays: the payment then ends `expired` in place of
-- `failed`, both of them proven uncharged.
ALTER TABLE attempt ADD COLUMN payer_asked_at timestamptz;
-- Its money came beside another attempt's and never was the payment's.
ALTER TABLE attempt ADD COLUMN surplus boolean NOT NULL DEFAULT false;
-- How many words about the refund were noted. Only the first refusal of a send is definite.
ALTER TABLE refund ADD COLUMN heard int NOT NULL DEFAULT 0;
-- The attempt of which a channel said what cannot be right. NULL where an older worker froze the
-- payment: a person's finding then counts for the attempt that the case shows, or the current one.
ALTER TABLE payment ADD COLUMN frozen_by text;
-- The attempt that the case shows. NULL where it shows none, and in the cases of an older worker,
-- for which gateway/storage/books/case_list.py finds it.
ALTER TABLE "case" ADD COLUMN attempt_id text;

UPDATE attempt a SET surplus = true
FROM refund f
WHERE f.origin = 'surplus' AND a.id = f.attempt_id AND a.merchant_id = f.merchant_id;

UPDATE attempt a SET payer_asked_at = told.at
FROM attempt live, LATERAL (
    SELECT item->>'outcome' AS outcome, (item->>'at')::timestamptz AS at
    FROM json_array_elements(live.evidence) WITH ORDINALITY AS said(item, place)
    WHERE item->>'source' IN ('pay', 'query', 'callback') AND item->>'proof' IS NULL
    ORDER BY place DESC LIMIT 1
) told
WHERE live.status IN ('sent', 'pending', 'in_doubt', 'cancelling')
  AND told.outcome = 'PayerActionNeeded'
  AND a.id = live.id AND a.merchant_id = live.merchant_id;

UPDATE refund SET heard = json_array_length(evidence) WHERE due_at IS NOT NULL;

-- A freeze opened a case, which stays open while the payment is frozen.
UPDATE payment p SET frozen_by = a.id
FROM "case" k, attempt a
WHERE k.closed_at IS NULL AND k.kind LIKE 'mismatch\_%'
  AND p.id = k.object_id AND p.merchant_id = k.merchant_id AND p.frozen_at IS NOT NULL
  AND a.payment_id = p.id AND a.merchant_id = p.merchant_id
  AND EXISTS (
    SELECT FROM json_array_elements(a.evidence) item
    WHERE (item->>'at')::timestamptz = p.frozen_at
  );

CREATE FUNCTION note_facts_of_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    said json := NEW.evidence->-1;
BEGIN
    NEW.surplus := NEW.surplus OR EXISTS (
        SELECT FROM json_array_elements(NEW.evidence) item WHERE item->>'outcome' = 'Surplus'
    );
    IF NEW.status = 'pending' AND said->>'outcome' = 'PayerActionNeeded' THEN
        NEW.payer_asked_at := coalesce(NEW.payer_asked_at, (said->>'at')::timestamptz);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER facts BEFORE UPDATE ON attempt FOR EACH ROW
    WHEN (NEW.status IN ('pending', 'captured_late') AND NEW.status <> OLD.status)
    EXECUTE FUNCTION note_facts_of_attempt();

-- A word was added and not counted.
CREATE FUNCTION note_facts_of_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.heard := OLD.heard + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER facts BEFORE UPDATE ON refund FOR EACH ROW
    WHEN (
        NEW.heard = OLD.heard
        AND json_array_length(NEW.evidence) > json_array_length(OLD.evidence)
    )
    EXECUTE FUNCTION note_facts_of_refund();

-- Thawed by a worker that does not know which attempt had frozen it.
CREATE FUNCTION note_facts_of_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.frozen_by := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER facts BEFORE UPDATE ON payment FOR EACH ROW
    WHEN (NEW.frozen_at IS NULL AND NEW.frozen_by IS NOT NULL)
    EXECUTE FUNCTION note_facts_of_payment();

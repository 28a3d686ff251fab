-- Account failover only with evidence: what is said to be uncharged carries its proof, and of the right kind.
-- P0 nothing was sent; P1 a signed refusal of the only send; P2 a signed final state; P3 a confirmed cancel; P4 not found, twice.
ALTER TABLE attempt ADD CONSTRAINT a_no_needs_proof CHECK (
    CASE status
        WHEN 'not_sent' THEN jsonb_path_exists(evidence::jsonb, '$[*] ? (@.proof == "P0")')
        WHEN 'declined' THEN jsonb_path_exists(evidence::jsonb, '$[*] ? (@.proof == "P1")')
        WHEN 'reversed' THEN jsonb_path_exists(evidence::jsonb, '$[*] ? (@.proof == "P2" || @.proof == "P3" || @.proof == "P4")')
        ELSE true
    END
);

-- A further attempt follows the end of every earlier one, never stands beside it.
CREATE FUNCTION refuse_second_chance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM attempt a WHERE a.payment_id = NEW.payment_id AND a.merchant_id = NEW.merchant_id
        AND a.status NOT IN ('declined', 'not_sent', 'reversed')
    ) OR NEW.number <> 1 + (SELECT count(*) FROM attempt a WHERE a.payment_id = NEW.payment_id AND a.merchant_id = NEW.merchant_id) THEN
        RAISE EXCEPTION 'payment % has an attempt that may have charged: no further one may open', NEW.payment_id USING ERRCODE = 'TG005';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER follows BEFORE INSERT ON attempt FOR EACH ROW WHEN (NEW.number > 1) EXECUTE FUNCTION refuse_second_chance();

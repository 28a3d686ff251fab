-- Supervisors, who prove themselves by a PIN of their own before another payment is let in while one
-- is in doubt. A worker of the release before knows nobody here and takes a name for a proof, as it
-- always did, until it is gone.

CREATE TABLE supervisor (
    merchant_id text NOT NULL REFERENCES merchant,
    id          text NOT NULL,
    store_id    text,                                    -- null: every store of the merchant
    name        text NOT NULL,
    pin_hash    text NOT NULL CHECK (starts_with(pin_hash, '$argon2id$')),
    failures    int NOT NULL DEFAULT 0 CHECK (failures >= 0),  -- wrong PINs at all tills since the last right one
    disabled_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, id),
    FOREIGN KEY (merchant_id, store_id) REFERENCES store (merchant_id, id)
);

-- Wrong PINs of one supervisor at one till; the next try waits.
CREATE TABLE supervisor_try (
    merchant_id   text NOT NULL,
    supervisor_id text NOT NULL,
    place         text NOT NULL,                         -- a terminal, or a merchant's key
    failures      int NOT NULL CHECK (failures >= 1),
    again_at      timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, supervisor_id, place),
    FOREIGN KEY (merchant_id, supervisor_id) REFERENCES supervisor (merchant_id, id)
);

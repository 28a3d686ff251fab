-- What a living worker can open and compute, as words (`master_key/2/9f3c21aa`, `seal/2`): nothing is
-- sealed in a way that a living worker does not know. NULL: an older release, which says nothing.
ALTER TABLE worker ADD COLUMN knows text[];

-- What a leaked secret would reach, as its prefix says. NULL: a key from before this column.
ALTER TABLE api_key ADD COLUMN environment text CHECK (environment IN ('live', 'test'));

-- When a key was last used; written by the workers, at most once a minute a key. Apart from the key's
-- own row, whose changes every worker reads.
CREATE TABLE api_key_use (
    key_id  text PRIMARY KEY,
    used_at timestamptz NOT NULL
);

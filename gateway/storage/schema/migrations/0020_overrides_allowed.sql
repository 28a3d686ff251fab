-- Whether a supervisor of this store may let another payment in while one is in doubt. A worker of
-- the release before reads stores without the column and allows every override, as it always did.

ALTER TABLE store ADD COLUMN overrides_allowed boolean NOT NULL DEFAULT true;

-- When a webhook was deleted. Of one that was deleted before, only the last moment at which the server wrote is known.
ALTER TABLE endpoint ADD COLUMN deleted_at INTEGER CHECK (deleted_at IS NULL OR state = 'deleted');
UPDATE endpoint SET deleted_at = ifnull((SELECT at FROM moment), created_at) WHERE state = 'deleted' AND profile != '';

-- A former secret: since when it signed, and whether the vendor's header stays with it until its time is over.
ALTER TABLE endpoint ADD COLUMN former_at INTEGER;
ALTER TABLE endpoint ADD COLUMN former_leads INTEGER NOT NULL DEFAULT 0 CHECK (former_leads IN (0, former_secret IS NOT NULL));

-- Tokens that expire.
ALTER TABLE token ADD COLUMN valid_until INTEGER;

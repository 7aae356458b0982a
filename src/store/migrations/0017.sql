-- What its owner calls a webhook and says about it, for people.
ALTER TABLE endpoint ADD COLUMN name TEXT;
ALTER TABLE endpoint ADD COLUMN description TEXT;
-- When its secret was last changed; NULL: never. Older versions noted only when the former secret ends: a day later,
-- unless the settings said otherwise.
ALTER TABLE endpoint ADD COLUMN secret_at INTEGER;
UPDATE endpoint SET secret_at = former_until - 86400000 WHERE former_until IS NOT NULL;

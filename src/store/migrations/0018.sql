-- What its owner decided about the sending to a webhook, and what it carries along.
-- Most deliveries a second, in thousandths; NULL: as many as its receiver takes.
ALTER TABLE endpoint ADD COLUMN rate_limit INTEGER CHECK (rate_limit BETWEEN 100 AND 1000000);
-- Whether its deliveries go out one at a time, in the order of acceptance.
ALTER TABLE endpoint ADD COLUMN ordered INTEGER NOT NULL DEFAULT 0 CHECK (ordered IN (0, 1));
-- Short texts for its owner's programs: a JSON object.
ALTER TABLE endpoint ADD COLUMN metadata TEXT;
-- Headers that its owner adds to every request: sealed as the secrets are.
ALTER TABLE endpoint ADD COLUMN own_headers BLOB;

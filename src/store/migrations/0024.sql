-- Whether the server is one of ngoma serve --dev: commands beside it have its rules.
ALTER TABLE moment ADD COLUMN dev INTEGER NOT NULL DEFAULT 0 CHECK (dev IN (0, serving));

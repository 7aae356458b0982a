-- The receiver asked for no delivery before this moment (429 or 503 with Retry-After).
ALTER TABLE endpoint ADD COLUMN rests_until INTEGER;

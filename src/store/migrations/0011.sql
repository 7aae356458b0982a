-- The URL as its owner wrote it, if that is not the canonical text, which is dialled and compared. NULL: it is.
ALTER TABLE endpoint ADD COLUMN given_url TEXT;

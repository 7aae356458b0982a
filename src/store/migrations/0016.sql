-- Links that open an account's dashboard once, and the token by which their sessions act: nobody holds it.
CREATE TABLE sign_in_link (
  hash       BLOB    PRIMARY KEY CHECK (length(hash) = 32),
  token      INTEGER NOT NULL REFERENCES token (key) ON DELETE CASCADE,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE token ADD COLUMN by_link INTEGER NOT NULL DEFAULT 0 CHECK (by_link IN (0, 1));
CREATE UNIQUE INDEX token_of_links ON token (account) WHERE by_link = 1 AND revoked_at IS NULL;

-- A browser that showed a token to the dashboard. It ends with its token, with its time, or when it signs out.
CREATE TABLE session (
  hash       BLOB    PRIMARY KEY CHECK (length(hash) = 32),          -- SHA-256; the cookie itself is nowhere
  token      INTEGER NOT NULL REFERENCES token (key) ON DELETE CASCADE,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where an account's programs get notices about its webhooks; the secret that signs them is sealed with alerts_id.
ALTER TABLE account ADD COLUMN alerts_url TEXT;
ALTER TABLE account ADD COLUMN alerts_id BLOB CHECK ((alerts_id IS NULL) = (alerts_url IS NULL));
ALTER TABLE account ADD COLUMN alerts_secret BLOB CHECK ((alerts_secret IS NULL) = (alerts_url IS NULL));

-- The notices, written in the transaction that decided them.
CREATE TABLE notice (
  key        INTEGER PRIMARY KEY,
  id         BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  account    INTEGER NOT NULL REFERENCES account (key),
  endpoint   INTEGER NOT NULL,
  kind       TEXT    NOT NULL CHECK (kind IN ('webhook.suspended', 'webhook.recovered', 'delivery.failed')),
  created_at INTEGER NOT NULL,
  delivery   BLOB    CHECK (length(delivery) = 16),
  failure    TEXT,
  status     INTEGER,
  attempts   INTEGER,
  suspended_reason TEXT,
  tries      INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
  due_at     INTEGER
) STRICT;
CREATE INDEX notice_due ON notice (due_at, key) WHERE due_at IS NOT NULL;
CREATE INDEX notice_waiting ON notice (account) WHERE due_at IS NOT NULL;
CREATE INDEX notice_of_endpoint ON notice (endpoint, kind, created_at);

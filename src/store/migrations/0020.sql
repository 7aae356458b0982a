-- The answer to a request that came with an idempotency key, for its repeats.
CREATE TABLE answer (
  key             INTEGER PRIMARY KEY,
  account         INTEGER NOT NULL REFERENCES account (key),
  idempotency_key TEXT    NOT NULL,
  made_at         INTEGER NOT NULL,
  sealed          BLOB    NOT NULL                                   -- the digest of the request and the answer; no answer: it has not ended
) STRICT;
CREATE UNIQUE INDEX answer_by_idempotency_key ON answer (account, idempotency_key);
CREATE INDEX answer_by_age ON answer (made_at);

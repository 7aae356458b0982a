-- Every moment is INTEGER milliseconds since 1970 UTC. Every id is the 16 bytes of its ULID.

-- A tenant of a profile: a cooperative, a customer.
CREATE TABLE account (
  key         INTEGER PRIMARY KEY,
  id          TEXT    NOT NULL UNIQUE,
  profile     TEXT    NOT NULL,
  alert_email TEXT,
  created_at  INTEGER NOT NULL
) STRICT;

-- A bearer token: of an account, of the platform of a profile (no account), or of the operator (neither).
CREATE TABLE token (
  key          INTEGER PRIMARY KEY,
  id           BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  hash         BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),   -- SHA-256; the token itself is nowhere
  account      INTEGER REFERENCES account (key),
  profile      TEXT,
  scopes       TEXT    NOT NULL,
  label        TEXT,
  created_at   INTEGER NOT NULL,
  last_used_at INTEGER,
  revoked_at   INTEGER,
  CHECK (account IS NULL OR profile IS NOT NULL)
) STRICT;

-- Where an account wants its events (on the wire: a webhook).
CREATE TABLE endpoint (
  key              INTEGER PRIMARY KEY,
  id               BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  account          INTEGER NOT NULL REFERENCES account (key),
  profile          TEXT    NOT NULL,
  url              TEXT    NOT NULL,
  events           TEXT    NOT NULL,                                 -- entries of the filter, a space between two
  state            TEXT    NOT NULL CHECK (state IN ('active', 'suspended', 'deleted')),
  suspended_at     INTEGER,
  suspended_reason TEXT,
  created_at       INTEGER NOT NULL,
  secret           BLOB    NOT NULL,                                 -- sealed: version, key id, nonce, ciphertext
  former_secret    BLOB,                                             -- sealed; signs too until former_until
  former_until     INTEGER,
  timed_out        INTEGER NOT NULL DEFAULT 0 CHECK (timed_out IN (0, 1)), -- its last attempt did
  CHECK ((state = 'suspended') = (suspended_at IS NOT NULL)),
  CHECK ((suspended_at IS NULL) = (suspended_reason IS NULL)),
  CHECK ((former_secret IS NULL) = (former_until IS NULL))
) STRICT;
CREATE INDEX endpoint_of_account ON endpoint (account);
CREATE INDEX endpoint_present ON endpoint (account) WHERE state != 'deleted';

-- What a platform published, once, whoever gets it.
CREATE TABLE event (
  key             INTEGER PRIMARY KEY,
  id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  account         INTEGER NOT NULL REFERENCES account (key),
  kind            TEXT    NOT NULL,
  body            TEXT    NOT NULL,                                  -- what the profile's envelope finishes
  accepted_at     INTEGER NOT NULL,
  target          TEXT,                                              -- the one URL its producer named, if it did
  test            INTEGER NOT NULL DEFAULT 0 CHECK (test IN (0, 1)), -- sample data on somebody's request
  idempotency_key TEXT,
  digest          BLOB    CHECK (length(digest) = 32),               -- of the request that came with the key
  CHECK ((idempotency_key IS NULL) = (digest IS NULL))
) STRICT;
CREATE UNIQUE INDEX event_by_idempotency_key ON event (idempotency_key, account) WHERE idempotency_key IS NOT NULL;

-- An event on its way to one endpoint: the state machine of domain/delivery.rs.
CREATE TABLE delivery (
  key         INTEGER PRIMARY KEY,
  id          BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  event       INTEGER NOT NULL REFERENCES event (key),
  endpoint    INTEGER NOT NULL REFERENCES endpoint (key),
  state       TEXT    NOT NULL CHECK (state IN ('pending', 'claimed', 'delivered', 'exhausted', 'held', 'cancelled')),
  attempts    INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),      -- POSTs begun; with key: who owns the claim
  tries       INTEGER NOT NULL DEFAULT 0 CHECK (tries BETWEEN 0 AND attempts), -- those of this schedule
  due_at      INTEGER,                                               -- pending: when to claim it
  started_at  INTEGER,                                               -- claimed: since when
  created_at  INTEGER NOT NULL,
  replay_of   INTEGER REFERENCES delivery (key),
  CHECK ((state = 'pending') = (due_at IS NOT NULL)),
  CHECK ((state = 'claimed') = (started_at IS NOT NULL)),
  CHECK (state NOT IN ('claimed', 'delivered', 'exhausted') OR attempts > 0)
) STRICT;
CREATE INDEX delivery_due ON delivery (endpoint, due_at) WHERE state = 'pending';
CREATE INDEX delivery_held ON delivery (endpoint) WHERE state = 'held';
CREATE INDEX delivery_exhausted ON delivery (endpoint) WHERE state = 'exhausted';
CREATE INDEX delivery_claimed ON delivery (key) WHERE state = 'claimed';
CREATE INDEX delivery_of_endpoint ON delivery (endpoint);
CREATE INDEX delivery_of_event ON delivery (event);

-- One POST, written when it has ended.
CREATE TABLE attempt (
  delivery        INTEGER NOT NULL REFERENCES delivery (key),
  number          INTEGER NOT NULL CHECK (number > 0),
  started_at      INTEGER NOT NULL,
  duration_ms     INTEGER,                                           -- NULL: interrupted
  failure         TEXT,                                              -- class; NULL: 2xx
  status          INTEGER,
  response        BLOB,
  truncated       INTEGER NOT NULL DEFAULT 0 CHECK (truncated IN (0, 1)),
  next_attempt_at INTEGER,
  PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;

-- The last moment at which the server wrote, to the second: a clock that was set back while it was down is noticed by it.
CREATE TABLE moment (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  at  INTEGER NOT NULL
) STRICT;

-- What a person has to be told, written in the transaction that decided it.
CREATE TABLE alert (
  key         INTEGER PRIMARY KEY,
  endpoint    INTEGER NOT NULL REFERENCES endpoint (key),
  kind        TEXT    NOT NULL CHECK (kind IN ('suspended')),
  created_at  INTEGER NOT NULL,
  addressee   TEXT,                                                  -- NULL: the account has no address
  failing_since INTEGER NOT NULL,                                    -- the first attempt of the delivery given up
  failure     TEXT    NOT NULL,                                      -- of its last attempt
  status      INTEGER,
  held        INTEGER NOT NULL,                                      -- deliveries held at that moment
  told_at     INTEGER
) STRICT;
CREATE INDEX alert_untold ON alert (key) WHERE told_at IS NULL;

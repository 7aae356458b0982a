-- The present schema: what the migrations make, to read. Nothing runs this file; a test compares it with what they make.
-- Every moment is INTEGER milliseconds since 1970 UTC. Every id is the 16 bytes of its ULID.

-- A tenant of a profile: a cooperative, a customer.
CREATE TABLE account (
  key          INTEGER PRIMARY KEY,
  id           TEXT    NOT NULL UNIQUE,
  profile      TEXT    NOT NULL,                                     -- '': the account was erased
  alert_email  TEXT,
  created_at   INTEGER NOT NULL,
  stored_bytes INTEGER NOT NULL DEFAULT 0,                           -- bodies of its events; bodies and headers of answers
  alerts_url   TEXT,                                                 -- where its notices are POSTed
  alerts_id    BLOB CHECK ((alerts_id IS NULL) = (alerts_url IS NULL)), -- the secret is sealed with it
  alerts_secret BLOB CHECK ((alerts_secret IS NULL) = (alerts_url IS NULL)) -- sealed; it signs the notices
) STRICT;

-- A bearer token: of an account, of the platform of a profile (no account), or of the operator (neither).
CREATE TABLE token (
  key          INTEGER PRIMARY KEY,
  id           BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  hash         BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),    -- SHA-256; the token itself is nowhere
  account      INTEGER REFERENCES account (key),
  profile      TEXT,
  scopes       TEXT    NOT NULL,
  label        TEXT,
  created_at   INTEGER NOT NULL,
  last_used_at INTEGER,
  revoked_at   INTEGER,
  by_link      INTEGER NOT NULL DEFAULT 0 CHECK (by_link IN (0, 1)), -- nobody holds it: sessions of sign-in links act by it
  valid_until  INTEGER,                                              -- NULL: it does not expire
  CHECK (account IS NULL OR profile IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX token_of_links ON token (account) WHERE by_link = 1 AND revoked_at IS NULL;

-- A browser that showed a token to the dashboard. It ends with its token, with its time, or when it signs out.
CREATE TABLE session (
  hash       BLOB    PRIMARY KEY CHECK (length(hash) = 32),          -- SHA-256; the cookie itself is nowhere
  token      INTEGER NOT NULL REFERENCES token (key) ON DELETE CASCADE,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A link that opens an account's dashboard once, until its time is over.
CREATE TABLE sign_in_link (
  hash       BLOB    PRIMARY KEY CHECK (length(hash) = 32),          -- SHA-256; the link itself is nowhere
  token      INTEGER NOT NULL REFERENCES token (key) ON DELETE CASCADE,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where an account wants its events (on the wire: a webhook).
CREATE TABLE endpoint (
  key                 INTEGER PRIMARY KEY,
  id                  BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  account             INTEGER NOT NULL REFERENCES account (key),
  profile             TEXT    NOT NULL,
  url                 TEXT    NOT NULL,                              -- canonical: dialled and compared
  events              TEXT    NOT NULL,                              -- entries of the filter, a space between two
  state               TEXT    NOT NULL CHECK (state IN ('active', 'suspended', 'deleted')),
  suspended_at        INTEGER,
  suspended_reason    TEXT,
  created_at          INTEGER NOT NULL,
  secret              BLOB    NOT NULL,                              -- sealed: version, key id, nonce, ciphertext
  former_secret       BLOB,                                          -- sealed; signs too until former_until
  former_until        INTEGER,
  timed_out           INTEGER NOT NULL DEFAULT 0 CHECK (timed_out IN (0, 1)), -- its last attempt did
  deleted_lived       INTEGER,                                       -- serving time when it was first seen deleted
  last_success_at     INTEGER,
  last_failure_at     INTEGER,
  last_failure        TEXT    CHECK ((last_failure IS NULL) = (last_failure_at IS NULL)),
  last_failure_status INTEGER,
  outage              INTEGER,                                       -- the first delivery given up since its last success
  resend              INTEGER CHECK (resend IS NULL OR state != 'deleted'), -- failed ones up to this are to be resent
  resumed_at          INTEGER,
  given_url           TEXT,                                          -- as its owner wrote it; NULL: as url
  rests_until         INTEGER,                                       -- its receiver asked for no delivery before this
  turns               INTEGER NOT NULL DEFAULT 0,                    -- from succeeding to failing and back; even: it succeeds
  name                TEXT,                                          -- for people
  description         TEXT,                                          -- for people
  secret_at           INTEGER,                                       -- when its secret was last changed; NULL: never
  rate_limit          INTEGER CHECK (rate_limit BETWEEN 100 AND 1000000), -- thousandths of a delivery per second; NULL: no limit
  ordered             INTEGER NOT NULL DEFAULT 0 CHECK (ordered IN (0, 1)), -- one at a time, in the order of acceptance
  metadata            TEXT,                                          -- for its owner's programs: a JSON object of texts
  own_headers         BLOB,                                          -- sealed; added to every request
  deleted_at          INTEGER CHECK (deleted_at IS NULL OR state = 'deleted'),
  former_at           INTEGER,                                       -- since when the former secret signed; NULL: from the beginning
  former_leads        INTEGER NOT NULL DEFAULT 0 CHECK (former_leads IN (0, former_secret IS NOT NULL)), -- the vendor's header is its until former_until
  CHECK ((state = 'suspended') = (suspended_at IS NOT NULL)),
  CHECK ((suspended_at IS NULL) = (suspended_reason IS NULL)),
  CHECK ((former_secret IS NULL) = (former_until IS NULL))
) STRICT;
CREATE INDEX endpoint_of_account ON endpoint (account);
CREATE INDEX endpoint_present ON endpoint (account) WHERE state != 'deleted';

-- What a platform published, once for all its deliveries.
CREATE TABLE event (
  key             INTEGER PRIMARY KEY,
  id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  account         INTEGER NOT NULL REFERENCES account (key),
  kind            TEXT    NOT NULL,
  body            TEXT    NOT NULL,                                  -- the profile's envelope completes it
  accepted_at     INTEGER NOT NULL,
  target          TEXT,                                              -- the one URL its producer named, if it did
  test            INTEGER NOT NULL DEFAULT 0 CHECK (test IN (0, 1)), -- sample data that somebody asked for
  idempotency_key TEXT,
  digest          BLOB    CHECK (length(digest) = 32),               -- of the request that came with the key
  checksum        INTEGER,                                           -- CRC-32 of the body; NULL: an older version wrote it
  CHECK ((idempotency_key IS NULL) = (digest IS NULL))
) STRICT;
CREATE UNIQUE INDEX event_by_idempotency_key ON event (idempotency_key, account) WHERE idempotency_key IS NOT NULL;

-- An event on its way to one endpoint: the state machine of domain/delivery.rs.
CREATE TABLE delivery (
  key        INTEGER PRIMARY KEY,
  id         BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  event      INTEGER NOT NULL REFERENCES event (key),
  endpoint   INTEGER NOT NULL REFERENCES endpoint (key),
  state      TEXT    NOT NULL CHECK (state IN ('pending', 'claimed', 'delivered', 'exhausted', 'held', 'cancelled')),
  attempts   INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),       -- POSTs begun; with key: who owns the claim
  tries      INTEGER NOT NULL DEFAULT 0 CHECK (tries BETWEEN 0 AND attempts), -- those of this schedule
  due_at     INTEGER,                                                -- pending: when to claim it
  started_at INTEGER,                                                -- claimed: since when
  created_at INTEGER NOT NULL,
  replay_of  INTEGER REFERENCES delivery (key),
  replayed   INTEGER NOT NULL DEFAULT 0 CHECK (replayed IN (0, 1)),  -- there is, or was, a replay of it
  outage     INTEGER CHECK (outage IS NULL OR state = 'exhausted'),  -- in which it was given up
  recovery   INTEGER,                                                -- that made it
  missed     INTEGER NOT NULL DEFAULT 0 CHECK (missed IN (0, state = 'exhausted')), -- no replay has delivered or replaced it
  first_failed INTEGER,                                              -- the turns of its endpoint when it did, in its schedule
  place      INTEGER,                                                -- in the order of an ordered endpoint: that of the failed one; NULL: its key
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
CREATE INDEX delivery_replay ON delivery (replay_of) WHERE replay_of IS NOT NULL;
CREATE INDEX delivery_failed ON delivery (outage, event) WHERE outage IS NOT NULL AND replayed = 0;
CREATE INDEX delivery_of_recovery ON delivery (recovery) WHERE recovery IS NOT NULL AND state IN ('pending', 'claimed', 'held');
CREATE INDEX delivery_missed ON delivery (endpoint) WHERE missed = 1;
CREATE INDEX delivery_resent ON delivery (endpoint, place) WHERE place IS NOT NULL AND state IN ('pending', 'claimed', 'held');

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
  reason          TEXT,                                              -- why it failed, in a line for people
  headers         TEXT,                                              -- of an answer that is no success, secrets masked
  PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;

-- What people must know, written in the transaction that decided it: about an endpoint, or for the operator.
CREATE TABLE alert (
  key             INTEGER PRIMARY KEY,
  id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  endpoint        INTEGER REFERENCES endpoint (key),
  kind            TEXT    NOT NULL CHECK (kind IN ('suspended', 'warning', 'expiring', 'recovered', 'operator')),
  created_at      INTEGER NOT NULL,
  since           INTEGER NOT NULL,                                  -- the failing delivery's first attempt; expiring: when the oldest was made
  failure         TEXT,                                              -- of the failing delivery's last attempt
  status          INTEGER,
  delivery        BLOB    CHECK (length(delivery) = 16),             -- the failing delivery's id: its row may go first
  tries           INTEGER,                                           -- warning: how many have failed
  next_attempt_at INTEGER,                                           -- warning: NULL when it was given up
  held            INTEGER,                                           -- expiring: how many will be cancelled
  lived           INTEGER,                                           -- expiring: serving time when it was written
  suspended_reason TEXT,                                             -- suspended: why; NULL: an older version wrote it
  about           TEXT,                                              -- operator: domain/operator_alert.rs
  said            TEXT,                                              -- operator: what happened
  cleared_at      INTEGER CHECK (cleared_at IS NULL OR kind = 'operator'), -- since when all is well again; NULL: not yet, or never asked
  CHECK ((kind IN ('suspended', 'warning')) = (failure IS NOT NULL)),
  CHECK ((kind = 'warning') = (tries IS NOT NULL)),
  CHECK ((kind = 'expiring') = (held IS NOT NULL)),
  CHECK ((kind = 'operator') = (endpoint IS NULL)),
  CHECK ((kind = 'operator') = (about IS NOT NULL)),
  CHECK ((about IS NULL) = (said IS NULL))
) STRICT;
CREATE INDEX alert_of_endpoint ON alert (endpoint, kind, created_at);
CREATE INDEX alert_of_operator ON alert (about, created_at) WHERE about IS NOT NULL;

-- The delivery of an alert by one channel: the log first, then the others that are set up.
CREATE TABLE alert_delivery (
  alert      INTEGER NOT NULL REFERENCES alert (key) ON DELETE CASCADE,
  channel    TEXT    NOT NULL CHECK (channel != ''),                 -- log, mail, or the name of a channel in the config
  tries      INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),          -- since the last start
  due_at     INTEGER,                                                -- when to try it
  told_at    INTEGER,                                                -- delivered
  dropped_at INTEGER,                                                -- given up, or replaced by the alert of a suspension
  last_error TEXT,
  PRIMARY KEY (alert, channel),
  CHECK ((due_at IS NOT NULL) + (told_at IS NOT NULL) + (dropped_at IS NOT NULL) = 1)
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_delivery_due ON alert_delivery (channel, due_at) WHERE due_at IS NOT NULL;

-- What an account's own programs are told about its webhooks, written in the transaction that decided it.
CREATE TABLE notice (
  key        INTEGER PRIMARY KEY,
  id         BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  account    INTEGER NOT NULL REFERENCES account (key),
  endpoint   INTEGER NOT NULL,
  kind       TEXT    NOT NULL CHECK (kind IN ('webhook.suspended', 'webhook.recovered', 'delivery.failed')),
  created_at INTEGER NOT NULL,
  delivery   BLOB    CHECK (length(delivery) = 16),                  -- its id: its row may go first
  failure    TEXT,                                                   -- of the delivery's last attempt
  status     INTEGER,
  attempts   INTEGER,
  suspended_reason TEXT,
  tries      INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
  due_at     INTEGER                                                 -- NULL: it was taken, or given up
) STRICT;
CREATE INDEX notice_due ON notice (due_at, key) WHERE due_at IS NOT NULL;
CREATE INDEX notice_waiting ON notice (account) WHERE due_at IS NOT NULL;
CREATE INDEX notice_of_endpoint ON notice (endpoint, kind, created_at);

-- Statistics of attempts: minutes are kept for two hours, hours for eight days. The engine counts in memory and adds here
-- every ten seconds.
CREATE TABLE tally (
  span      INTEGER NOT NULL CHECK (span IN (60, 3600)),             -- seconds
  start     INTEGER NOT NULL,
  endpoint  INTEGER NOT NULL,                                        -- 0: all of them together
  delivered INTEGER NOT NULL,
  failed    INTEGER NOT NULL,
  durations BLOB    NOT NULL CHECK (length(durations) = 64),         -- 16 counts of 4 bytes: domain/stats.rs
  PRIMARY KEY (span, start, endpoint)
) STRICT, WITHOUT ROWID;

-- A recovery: it replays every matching delivery once. The deliveries record its progress.
CREATE TABLE recovery (
  key        INTEGER PRIMARY KEY AUTOINCREMENT,                      -- none is used twice: running ones are known by it
  id         BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  created_at INTEGER NOT NULL,
  actor      TEXT    NOT NULL,
  state      TEXT    NOT NULL CHECK (state IN ('running', 'done', 'cancelled')),
  ended_at   INTEGER,
  upto       INTEGER NOT NULL,                                       -- the newest delivery when it was requested
  profile    TEXT,                                                   -- from here on: which deliveries; NULL: any
  account    TEXT,
  endpoint   BLOB    CHECK (length(endpoint) = 16),
  url        TEXT,                                                   -- a text that the URL holds
  kind       TEXT,
  wanted     TEXT    CHECK (wanted IN ('exhausted', 'delivered', 'cancelled')), -- the state they are in
  failure    TEXT,
  made_from  INTEGER,
  made_to    INTEGER,
  delivery   BLOB    CHECK (length(delivery) = 16),                  -- only this one
  matched    INTEGER NOT NULL,
  replayed   INTEGER NOT NULL DEFAULT 0,
  skipped    INTEGER NOT NULL DEFAULT 0,
  delivered  INTEGER NOT NULL DEFAULT 0,                             -- replays that were
  failed     INTEGER NOT NULL DEFAULT 0,                             -- replays that were given up
  CHECK ((state = 'running') = (ended_at IS NULL))
) STRICT;
CREATE INDEX recovery_running ON recovery (key) WHERE state = 'running';

-- Who changed what, written in the transaction that changed it. An entry outlives what it names.
CREATE TABLE audit (
  key     INTEGER PRIMARY KEY,
  at      INTEGER NOT NULL,
  actor   TEXT    NOT NULL,                                          -- a token's id, 'command line' or 'engine'
  profile TEXT,
  account TEXT,                                                      -- its public id
  action  TEXT    NOT NULL,
  subject TEXT,                                                      -- the public id; a webhook's without its prefix
  note    TEXT                                                       -- never a secret
) STRICT;
CREATE INDEX audit_of_account ON audit (account) WHERE account IS NOT NULL;

-- The last moment at which the server wrote, to the second: it shows that a clock was set back while no server ran.
CREATE TABLE moment (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  at      INTEGER NOT NULL,
  serving INTEGER NOT NULL DEFAULT 0 CHECK (serving IN (0, 1)),      -- a server serves, or did not end as it should
  dev     INTEGER NOT NULL DEFAULT 0 CHECK (dev IN (0, serving))     -- it is one of ngoma serve --dev
) STRICT;

-- How far the tables had grown at some serving time: rows with smaller keys are older. The wall clock ages nothing.
CREATE TABLE milestone (
  lived    INTEGER PRIMARY KEY,                                      -- milliseconds of serving time
  at       INTEGER NOT NULL,
  event    INTEGER NOT NULL,                                         -- the newest key
  delivery INTEGER NOT NULL
) STRICT;

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

-- An account that is being erased, until its last row is gone. The newest row of each table is an empty one by then, so that
-- no key is used twice.
CREATE TABLE erasure (
  account  INTEGER PRIMARY KEY REFERENCES account (key),
  id       TEXT    NOT NULL,                                         -- the former id of the account
  endpoint INTEGER NOT NULL,                                         -- its empty row
  event    INTEGER NOT NULL,                                         -- its empty row
  entry    INTEGER NOT NULL,                                         -- the last audit entry that may be about it
  scanned  INTEGER NOT NULL                                          -- the last event that was searched
) STRICT;

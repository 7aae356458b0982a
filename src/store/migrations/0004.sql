-- Attempts that ended well or failed, and how long they took: minutes are kept for two hours, hours for eight days. The
-- engine counts in memory and adds here every ten seconds; a crash loses so much of the counting, and nothing else.
CREATE TABLE tally (
  span      INTEGER NOT NULL CHECK (span IN (60, 3600)),             -- seconds
  start     INTEGER NOT NULL,
  endpoint  INTEGER NOT NULL,                                        -- 0: all of them together
  delivered INTEGER NOT NULL,
  failed    INTEGER NOT NULL,
  durations BLOB    NOT NULL CHECK (length(durations) = 64),         -- 16 counts of 4 bytes, as domain/tally.rs has them
  PRIMARY KEY (span, start, endpoint)
) STRICT, WITHOUT ROWID;

-- How an endpoint fared last, written with its tallies.
ALTER TABLE endpoint ADD COLUMN last_success_at INTEGER;
ALTER TABLE endpoint ADD COLUMN last_failure_at INTEGER;
ALTER TABLE endpoint ADD COLUMN last_failure TEXT CHECK ((last_failure IS NULL) = (last_failure_at IS NULL));
ALTER TABLE endpoint ADD COLUMN last_failure_status INTEGER;

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

-- Whether there is, or was, a replay of it: a run that retries what failed passes it by.
ALTER TABLE delivery ADD COLUMN replayed INTEGER NOT NULL DEFAULT 0 CHECK (replayed IN (0, 1));
UPDATE delivery SET replayed = 1 WHERE key IN (SELECT replay_of FROM delivery WHERE replay_of IS NOT NULL);

-- A run that replays every delivery that matches, once. What it has done is told by the deliveries: a restart begins it anew.
CREATE TABLE retry (
  key        INTEGER PRIMARY KEY,
  id         BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  created_at INTEGER NOT NULL,
  actor      TEXT    NOT NULL,
  state      TEXT    NOT NULL CHECK (state IN ('running', 'done', 'cancelled')),
  ended_at   INTEGER,
  upto       INTEGER NOT NULL,                                       -- the last delivery there was
  profile    TEXT,                                                   -- from here on: which deliveries; NULL: any
  account    TEXT,
  endpoint   BLOB    CHECK (length(endpoint) = 16),
  kind       TEXT,
  wanted     TEXT    CHECK (wanted IN ('exhausted', 'cancelled')),   -- the state they are in
  failure    TEXT,
  made_from  INTEGER,
  made_to    INTEGER,
  delivery   BLOB    CHECK (length(delivery) = 16),                  -- this one alone
  matched    INTEGER NOT NULL,
  replayed   INTEGER NOT NULL DEFAULT 0,
  skipped    INTEGER NOT NULL DEFAULT 0,
  CHECK ((state = 'running') = (ended_at IS NULL))
) STRICT;
CREATE INDEX retry_running ON retry (key) WHERE state = 'running';

-- Alerts of three kinds, each told by several ways, and each way with its own tries.

-- What a person has to be told, written in the transaction that decided it.
ALTER TABLE alert RENAME TO alert_of_0001;
CREATE TABLE alert (
  key             INTEGER PRIMARY KEY,
  id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  endpoint        INTEGER NOT NULL REFERENCES endpoint (key),
  kind            TEXT    NOT NULL CHECK (kind IN ('suspended', 'warning', 'expiring')),
  created_at      INTEGER NOT NULL,
  since           INTEGER NOT NULL,                                  -- the failing delivery's first attempt; expiring: when the oldest was made
  failure         TEXT,                                              -- of the failing delivery's last attempt
  status          INTEGER,
  delivery        BLOB    CHECK (length(delivery) = 16),             -- the failing delivery's id: its row may go first
  tries           INTEGER,                                           -- warning: how many have failed
  next_attempt_at INTEGER,                                           -- warning: NULL when it was given up
  held            INTEGER,                                           -- expiring: how many will be cancelled
  CHECK ((kind = 'expiring') = (failure IS NULL)),
  CHECK ((kind = 'warning') = (tries IS NOT NULL)),
  CHECK ((kind = 'expiring') = (held IS NOT NULL))
) STRICT;
CREATE INDEX alert_of_endpoint ON alert (endpoint, kind, created_at);

-- One way by which an alert is told: the log first, then the ways that are set up.
CREATE TABLE telling (
  alert      INTEGER NOT NULL REFERENCES alert (key) ON DELETE CASCADE,
  channel    TEXT    NOT NULL CHECK (channel IN ('log', 'mail', 'webhook')),
  tries      INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),          -- since the last start
  due_at     INTEGER,                                                -- to be told: when to try it
  told_at    INTEGER,
  dropped_at INTEGER,                                                -- given up, or overtaken by what it warned of
  last_error TEXT,
  PRIMARY KEY (alert, channel),
  CHECK ((due_at IS NOT NULL) + (told_at IS NOT NULL) + (dropped_at IS NOT NULL) = 1)
) STRICT, WITHOUT ROWID;
CREATE INDEX telling_due ON telling (channel, due_at) WHERE due_at IS NOT NULL;

-- What was told until now was told by the log. The ids are ULIDs: 48 bits of time, 80 at random.
INSERT INTO alert (key, id, endpoint, kind, created_at, since, failure, status)
  SELECT key, unhex(printf('%012X', created_at) || hex(randomblob(10))), endpoint, kind, created_at, failing_since, failure, status
  FROM alert_of_0001;
INSERT INTO telling (alert, channel, due_at, told_at)
  SELECT key, 'log', iif(told_at IS NULL, created_at, NULL), told_at FROM alert_of_0001;
DROP TABLE alert_of_0001;

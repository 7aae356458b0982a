-- What people send again, and what becomes of it.

-- A recovery replays every delivery that matches, once. It was called a retry run, and could not replay delivered ones.
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
INSERT INTO recovery (key, id, created_at, actor, state, ended_at, upto, profile, account, endpoint, kind, wanted, failure, made_from,
                      made_to, delivery, matched, replayed, skipped)
  SELECT key, id, created_at, actor, state, ended_at, upto, profile, account, endpoint, kind, wanted, failure, made_from, made_to,
         delivery, matched, replayed, skipped FROM retry;
DROP TABLE retry;
CREATE INDEX recovery_running ON recovery (key) WHERE state = 'running';
UPDATE audit SET action = 'recovery' || substr(action, 6), subject = 'rec_' || substr(subject, 5)
  WHERE action IN ('retry.started', 'retry.cancelled');

-- The recovery that made this replay. Ended replays are counted in its row, the others here.
ALTER TABLE delivery ADD COLUMN recovery INTEGER;
CREATE INDEX delivery_of_recovery ON delivery (recovery) WHERE recovery IS NOT NULL AND state IN ('pending', 'claimed', 'held');

-- Whether its receiver has missed it: it failed, and no replay of its event was delivered, or has failed in its place. A test
-- is never missed.
ALTER TABLE delivery ADD COLUMN missed INTEGER NOT NULL DEFAULT 0 CHECK (missed IN (0, state = 'exhausted'));
-- A replay that is gone was delivered: one that failed is kept longer.
UPDATE delivery SET missed = 1
  WHERE state = 'exhausted' AND (SELECT test FROM event WHERE event.key = delivery.event) = 0
    AND (replayed = 0 OR EXISTS (SELECT 1 FROM delivery AS replay WHERE replay.replay_of = delivery.key))
    AND NOT EXISTS (SELECT 1 FROM delivery AS later INDEXED BY delivery_of_event
                    WHERE later.event = delivery.event AND later.endpoint = delivery.endpoint AND later.key > delivery.key
                      AND later.state IN ('delivered', 'exhausted'));
CREATE INDEX delivery_missed ON delivery (endpoint) WHERE missed = 1;

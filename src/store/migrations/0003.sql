-- What retention and erasing an account need.

-- A replay names its original: looked for whenever a delivery goes.
CREATE INDEX delivery_replay ON delivery (replay_of) WHERE replay_of IS NOT NULL;

-- How far the tables had grown when the database had been served for so long: what has a smaller key is older than that.
-- The wall clock, which may be set, ages nothing.
CREATE TABLE milestone (
  lived    INTEGER PRIMARY KEY,                                      -- milliseconds of service
  at       INTEGER NOT NULL,
  event    INTEGER NOT NULL,                                         -- the newest key
  delivery INTEGER NOT NULL
) STRICT;

-- In milliseconds of service: when it was first seen deleted.
ALTER TABLE endpoint ADD COLUMN deleted_lived INTEGER;

-- An account that goes, until the last of its rows is gone. The newest row of each table is one without content by then,
-- so that no key is given twice.
CREATE TABLE erasure (
  account  INTEGER PRIMARY KEY REFERENCES account (key),
  id       TEXT    NOT NULL,                                         -- what the account was called
  endpoint INTEGER NOT NULL,                                         -- those of its rows without content
  event    INTEGER NOT NULL,
  entry    INTEGER NOT NULL,                                         -- the last of the audit that may be about it
  scanned  INTEGER NOT NULL                                          -- of the events below, those looked at
) STRICT;

-- The secrets of a deleted endpoint sign nothing any more.
UPDATE endpoint SET secret = x'', former_secret = NULL, former_until = NULL WHERE state = 'deleted';

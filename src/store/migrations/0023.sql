-- Alerts to the operator about the server itself, alerts that a webhook works again, and channels by their names.
ALTER TABLE alert_delivery RENAME TO former_alert_delivery;
ALTER TABLE alert RENAME TO former_alert;
DROP INDEX alert_delivery_due;
DROP INDEX alert_of_endpoint;

CREATE TABLE alert (
  key             INTEGER PRIMARY KEY,
  id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  endpoint        INTEGER REFERENCES endpoint (key),
  kind            TEXT    NOT NULL CHECK (kind IN ('suspended', 'warning', 'expiring', 'recovered', 'operator')),
  created_at      INTEGER NOT NULL,
  since           INTEGER NOT NULL,
  failure         TEXT,
  status          INTEGER,
  delivery        BLOB    CHECK (length(delivery) = 16),
  tries           INTEGER,
  next_attempt_at INTEGER,
  held            INTEGER,
  lived           INTEGER,
  suspended_reason TEXT,
  about           TEXT,
  said            TEXT,
  cleared_at      INTEGER CHECK (cleared_at IS NULL OR kind = 'operator'),
  CHECK ((kind IN ('suspended', 'warning')) = (failure IS NOT NULL)),
  CHECK ((kind = 'warning') = (tries IS NOT NULL)),
  CHECK ((kind = 'expiring') = (held IS NOT NULL)),
  CHECK ((kind = 'operator') = (endpoint IS NULL)),
  CHECK ((kind = 'operator') = (about IS NOT NULL)),
  CHECK ((about IS NULL) = (said IS NULL))
) STRICT;
INSERT INTO alert (key, id, endpoint, kind, created_at, since, failure, status, delivery, tries, next_attempt_at, held, lived,
                   suspended_reason)
  SELECT key, id, endpoint, kind, created_at, since, failure, status, delivery, tries, next_attempt_at, held, lived,
         suspended_reason FROM former_alert;

CREATE TABLE alert_delivery (
  alert      INTEGER NOT NULL REFERENCES alert (key) ON DELETE CASCADE,
  channel    TEXT    NOT NULL CHECK (channel != ''),
  tries      INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
  due_at     INTEGER,
  told_at    INTEGER,
  dropped_at INTEGER,
  last_error TEXT,
  PRIMARY KEY (alert, channel),
  CHECK ((due_at IS NOT NULL) + (told_at IS NOT NULL) + (dropped_at IS NOT NULL) = 1)
) STRICT, WITHOUT ROWID;
INSERT INTO alert_delivery (alert, channel, tries, due_at, told_at, dropped_at, last_error)
  SELECT alert, channel, tries, due_at, told_at, dropped_at, last_error FROM former_alert_delivery;

DROP TABLE former_alert_delivery;
DROP TABLE former_alert;
CREATE INDEX alert_of_endpoint ON alert (endpoint, kind, created_at);
CREATE INDEX alert_of_operator ON alert (about, created_at) WHERE about IS NOT NULL;
CREATE INDEX alert_delivery_due ON alert_delivery (channel, due_at) WHERE due_at IS NOT NULL;

-- Whether a server serves. A start that finds this set follows a server that did not end as it should.
ALTER TABLE moment ADD COLUMN serving INTEGER NOT NULL DEFAULT 0 CHECK (serving IN (0, 1));

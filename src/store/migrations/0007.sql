-- What resuming an endpoint sends again: the deliveries that it failed for the last time since its last success.

-- The outage that an endpoint is in: the key of the first delivery given up since its last success; NULL: none was.
ALTER TABLE endpoint ADD COLUMN outage INTEGER;
-- Up to this delivery, what failed in the outage has yet to be sent again; NULL: nothing has.
ALTER TABLE endpoint ADD COLUMN resend INTEGER CHECK (resend IS NULL OR state != 'deleted');
-- When it was last resumed: what it set going then has its place in line from that moment on, whenever it was made.
ALTER TABLE endpoint ADD COLUMN resumed_at INTEGER;
-- The outage in which a delivery was given up. A test belongs to none.
ALTER TABLE delivery ADD COLUMN outage INTEGER CHECK (outage IS NULL OR state = 'exhausted');

-- What older versions gave up after the last success that they have noted.
UPDATE delivery SET outage = 0
  WHERE state = 'exhausted' AND replayed = 0 AND (SELECT test FROM event WHERE event.key = delivery.event) = 0
    AND (SELECT started_at + ifnull(duration_ms, 0) FROM attempt WHERE attempt.delivery = delivery.key AND number = attempts)
        >= (SELECT ifnull(last_success_at, 0) FROM endpoint WHERE endpoint.key = delivery.endpoint);
UPDATE endpoint SET outage = (SELECT min(key) FROM delivery WHERE endpoint = endpoint.key AND state = 'exhausted' AND outage = 0);
UPDATE delivery SET outage = (SELECT outage FROM endpoint WHERE endpoint.key = delivery.endpoint) WHERE outage = 0;

-- In the order in which their events came: a replay takes the place of what it repeats.
CREATE INDEX delivery_failed ON delivery (outage, event) WHERE outage IS NOT NULL AND replayed = 0;

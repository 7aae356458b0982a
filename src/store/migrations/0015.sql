-- Whether anything was delivered to an endpoint since a delivery failed first: without a clock, which may be set.

-- How often its receiver has turned from succeeding to failing, or back: it succeeds while the number is even.
ALTER TABLE endpoint ADD COLUMN turns INTEGER NOT NULL DEFAULT 0;
-- The turns of its endpoint when the delivery failed first in its schedule.
ALTER TABLE delivery ADD COLUMN first_failed INTEGER;

-- Of an alert about a suspension: why the endpoint was suspended. NULL of older versions.
ALTER TABLE alert ADD COLUMN suspended_reason TEXT;

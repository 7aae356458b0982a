-- How an alert is delivered by one way: the table has the name that the code uses for it.
ALTER TABLE telling RENAME TO alert_delivery;
DROP INDEX telling_due;
CREATE INDEX alert_delivery_due ON alert_delivery (channel, due_at) WHERE due_at IS NOT NULL;

-- The place in the order of an ordered endpoint of a delivery that a resume sends again: that of the failed one. NULL: its own key.
ALTER TABLE delivery ADD COLUMN place INTEGER;
CREATE INDEX delivery_resent ON delivery (endpoint, place) WHERE place IS NOT NULL AND state IN ('pending', 'claimed', 'held');

-- Why an attempt failed, in a line for people, and the headers of the answer. A delivered attempt has neither. No CHECK
-- says so: adding one would read the whole table.
ALTER TABLE attempt ADD COLUMN reason TEXT;
ALTER TABLE attempt ADD COLUMN headers TEXT;

-- The CRC-32 of the body's bytes: SQLite notices no byte that a disk changes within a text. NULL of older versions: not known.
ALTER TABLE event ADD COLUMN checksum INTEGER;

-- Bytes of the bodies of an account's events: what it takes of the disk that all accounts share.
ALTER TABLE account ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE account SET stored_bytes = of_account.bytes
FROM (SELECT account, sum(octet_length(body)) AS bytes FROM event GROUP BY account) AS of_account
WHERE of_account.account = account.key;

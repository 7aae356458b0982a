-- What an account takes of the disk that all accounts share, in bytes: the bodies of its events, and the answers of its receivers.
ALTER TABLE account ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE account SET stored_bytes = of_account.bytes
FROM (SELECT account, sum(octet_length(body)) AS bytes FROM event GROUP BY account) AS of_account
WHERE of_account.account = account.key;
UPDATE account SET stored_bytes = stored_bytes + of_account.bytes
FROM (SELECT endpoint.account, sum(octet_length(response)) AS bytes
      FROM attempt JOIN delivery ON delivery.key = attempt.delivery JOIN endpoint ON endpoint.key = delivery.endpoint
      WHERE response IS NOT NULL GROUP BY endpoint.account) AS of_account
WHERE of_account.account = account.key;

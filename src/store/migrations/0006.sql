-- Of an alert that held deliveries will expire: when it was written, in milliseconds of service. They are cancelled when it is
-- old enough, whatever the settings say by then. NULL of older versions, which told of nothing that this may rely on.
ALTER TABLE alert ADD COLUMN lived INTEGER;

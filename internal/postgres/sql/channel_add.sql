-- The account is taken when it is there: an update that changes nothing returns
-- its id, also when somebody else creates it at the same moment.
WITH account AS (
  INSERT INTO campaign.accounts AS a (name) VALUES (@account)
  ON CONFLICT (name) DO UPDATE SET name = a.name
  RETURNING a.id)
INSERT INTO campaign.channels (name, phone, base_url, dialect, key_ref, webhook_secret_ref, rate, on_unknown, account_id)
SELECT @name, @phone, @base_url, @dialect, @key_ref, @webhook_secret_ref, @rate, @on_unknown, account.id
  FROM account
RETURNING id, account_id, created_at, updated_at

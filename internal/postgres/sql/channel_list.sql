SELECT c.id, c.name, c.phone, c.base_url, c.dialect, c.key_ref, c.webhook_secret_ref, c.rate,
       a.name AS account, c.account_id, c.on_unknown, c.created_at, c.updated_at
  FROM campaign.channels AS c
  JOIN campaign.accounts AS a ON a.id = c.account_id
 ORDER BY c.name

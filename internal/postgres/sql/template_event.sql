-- A template webhook, for every channel of the account. An empty value leaves the
-- column as it is.
UPDATE campaign.templates AS t
   SET status   = COALESCE(NULLIF(@status::text, ''), t.status),
       category = COALESCE(NULLIF(@category::text, ''), t.category),
       quality  = COALESCE(NULLIF(@quality::text, ''), t.quality)
 WHERE t.name = @name AND t.language = @language
   AND t.channel_id IN (SELECT c.id FROM campaign.channels AS c
                         WHERE c.account_id = (SELECT account_id FROM campaign.channels WHERE id = @channel))
RETURNING t.id, t.channel_id, t.status

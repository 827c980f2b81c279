-- Statuses that matched nothing when they came and may do so now. Only those
-- whose provider id is known meanwhile: a number may carry thousands of messages
-- of other programs, which must not stand before ours for an hour.
SELECT u.id, u.channel_id, u.provider_id, u.status, u.code, u.at
  FROM campaign.unmatched_statuses AS u
 WHERE EXISTS (SELECT FROM campaign.provider_ids AS i WHERE i.hash = hashtextextended(u.provider_id, 0))
 ORDER BY u.id
 LIMIT 1000

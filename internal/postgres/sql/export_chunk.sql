-- Carried by the primary key, within the campaign's bounds.
SELECT id, phone, state, reason, error_code, provider_id, posts, created_at, sent_at, delivered_at, read_at, failed_at
  FROM campaign.messages
 WHERE id > @after AND id <= @last AND campaign_id = @campaign
 ORDER BY id
 LIMIT @limit

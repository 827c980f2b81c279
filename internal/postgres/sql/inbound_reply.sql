-- An inbound message: repeats change nothing. What it answers decides the
-- campaign; the person is known by more.
INSERT INTO campaign.replies (channel_id, provider_id, message_id, campaign_id, contact_id, type, payload)
SELECT @channel, @provider, COALESCE(m.id, 0), COALESCE(m.campaign_id, 0), COALESCE(NULLIF(@contact::bigint, 0), m.contact_id, 0), @type, @payload
  FROM (SELECT 1) AS one
  LEFT JOIN campaign.provider_ids AS i ON @context::text <> '' AND i.hash = hashtextextended(@context::text, 0)
  LEFT JOIN campaign.messages AS m ON m.id = i.message_id AND m.channel_id = @channel
 LIMIT 1
ON CONFLICT (channel_id, provider_id) DO NOTHING

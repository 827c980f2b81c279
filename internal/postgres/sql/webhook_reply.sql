-- An inbound message: repeats change nothing.
INSERT INTO campaign.replies (channel_id, provider_id, message_id, campaign_id, contact_id, type)
SELECT @channel, @provider, COALESCE(m.id, 0), COALESCE(m.campaign_id, 0), COALESCE(m.contact_id, 0), @type
  FROM (SELECT 1) AS one
  LEFT JOIN campaign.provider_ids AS i ON @context::text <> '' AND i.hash = hashtextextended(@context::text, 0)
  LEFT JOIN campaign.messages AS m ON m.id = i.message_id AND m.channel_id = @channel
 LIMIT 1
ON CONFLICT (channel_id, provider_id) DO NOTHING

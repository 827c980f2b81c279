-- The templates that scheduled and running campaigns of a channel use. Carried by
-- campaigns_open_idx.
SELECT DISTINCT unnest(template_ids)
  FROM campaign.campaigns
 WHERE state IN ('scheduled', 'running') AND channel_id = @channel

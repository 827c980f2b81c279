-- One chunk of a suspect campaign: its queued messages. Carried by the primary key
-- between the campaign's bounds.
SELECT id
  FROM campaign.messages
 WHERE id > @after AND id <= @last AND campaign_id = @campaign AND channel_id = @channel AND state = 'queued'
 ORDER BY id
 LIMIT @limit

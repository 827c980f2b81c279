-- One chunk of a suspect campaign: stale claims, and queued messages. Carried by
-- the primary key between the campaign's bounds.
SELECT id, state
  FROM campaign.messages
 WHERE id > @after AND id <= @last AND campaign_id = @campaign AND channel_id = @channel
   AND (state = 'queued' OR state = 'sending' AND claimed_at < clock_timestamp() - make_interval(secs => @seconds))
 ORDER BY id
 LIMIT @limit

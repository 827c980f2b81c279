SELECT c.id, c.first_id, c.last_id, clock_timestamp()
  FROM campaign.campaigns AS c
 WHERE c.channel_id = @channel AND c.state = 'running' AND c.spec->'schedule' ?| ARRAY['window', 'days']

-- The running campaigns of a channel that nothing holds, with what they have
-- queued. Campaign 0 stands for messages that belong to none; what is queued of
-- its low ones is counted by their jobs, which are few, because the counters know
-- no priorities. A campaign's own rate is kept as an average: credit since
-- credit_at, at most a second's worth of it, or one message's where that takes
-- longer.
-- Between the first message that the provider held for quality assessment and
-- the first that it released, a campaign goes at 1/s: a bad template does not
-- burn the list.
WITH standing AS (
  SELECT scope, scope_id FROM campaign.holds WHERE until IS NULL OR until > clock_timestamp()),
todo AS (
  SELECT c.id, CASE WHEN c.held_at IS NOT NULL AND c.released_at IS NULL THEN least(1, NULLIF(c.rate, 0)) ELSE c.rate END AS rate,
         c.credit_at, c.first_id, c.last_id
    FROM campaign.campaigns AS c
   WHERE c.id = ANY(@campaigns::bigint[]) AND c.state = 'running'
     AND NOT EXISTS (SELECT FROM standing AS h WHERE h.scope = 'campaign' AND h.scope_id = c.id)
  UNION ALL
  SELECT 0, 0, NULL, 0, (SELECT last_value FROM campaign.message_ids))
SELECT t.id, t.rate,
       extract(epoch FROM clock_timestamp() - t.credit_at)::double precision AS elapsed,
       t.first_id, t.last_id,
       COALESCE((SELECT sum(n) FROM campaign.message_totals AS n
                  WHERE n.channel_id = @channel AND n.campaign_id = t.id AND n.state = 'queued'), 0)::bigint,
       ARRAY(SELECT h.scope_id FROM standing AS h WHERE h.scope = 'template'),
       CASE t.id WHEN 0 THEN (SELECT count(*) FROM river.river_job AS j
                               WHERE j.state = 'available' AND j.queue = @queue AND j.priority = 3) ELSE 0 END
  FROM todo AS t
 WHERE NOT EXISTS (SELECT FROM standing AS h
                    WHERE h.scope = 'channel' AND h.scope_id = @channel
                       OR h.scope = 'account' AND h.scope_id = (SELECT account_id FROM campaign.channels WHERE id = @channel))
 ORDER BY t.id

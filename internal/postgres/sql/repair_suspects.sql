-- Where the counters know more queued messages of a channel than there are live
-- jobs in its queues, some of its campaigns lost jobs. Everywhere else nothing is
-- scanned. @full asks for every campaign that has any, at the start of a program.
WITH open AS (
  SELECT channel_id, campaign_id, sum(n)::bigint AS n
    FROM campaign.message_totals
   WHERE state = 'queued'
   GROUP BY channel_id, campaign_id
  HAVING sum(n) > 0),
jobs AS (
  SELECT substring(queue FROM '^ch_([0-9]+)')::bigint AS channel_id, count(*) AS n
    FROM river.river_job
   WHERE state IN ('available', 'scheduled', 'retryable', 'pending') AND queue LIKE 'ch\_%'
   GROUP BY 1)
SELECT o.channel_id, o.campaign_id,
       COALESCE(c.first_id, 0)::bigint AS first_id,
       COALESCE(c.last_id, (SELECT last_value FROM campaign.message_ids))::bigint AS last_id
  FROM open AS o
  LEFT JOIN jobs AS j USING (channel_id)
  LEFT JOIN campaign.campaigns AS c ON c.id = o.campaign_id
 WHERE @full OR COALESCE(j.n, 0) < (SELECT sum(p.n) FROM open AS p WHERE p.channel_id = o.channel_id)
 ORDER BY o.channel_id, o.campaign_id

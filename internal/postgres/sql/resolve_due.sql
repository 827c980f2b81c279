-- Unknown messages past their grace whose campaign, or channel, orders a decision.
-- Only campaigns whose counters know unknown messages are looked at.
WITH ordered AS (
  SELECT n.campaign_id, n.channel_id,
         CASE WHEN n.campaign_id = 0 THEN ch.on_unknown ELSE c.spec->>'on_unknown' END AS on_unknown,
         COALESCE(c.first_id, 0) AS first_id,
         COALESCE(c.last_id, (SELECT last_value FROM campaign.message_ids)) AS last_id,
         ch.webhooks_since
    FROM campaign.message_totals AS n
    JOIN campaign.channels AS ch ON ch.id = n.channel_id
    LEFT JOIN campaign.campaigns AS c ON c.id = n.campaign_id
   WHERE n.state = 'unknown' AND n.n > 0 AND c.state IS DISTINCT FROM 'cancelled' AND ch.webhooks_since IS NOT NULL
     AND NOT EXISTS (SELECT FROM campaign.webhooks AS w WHERE w.applied_at IS NULL AND w.channel_id = n.channel_id))
SELECT m.id, o.on_unknown
  FROM ordered AS o
  JOIN campaign.messages AS m ON m.campaign_id = o.campaign_id AND m.channel_id = o.channel_id AND m.id BETWEEN o.first_id AND o.last_id
 CROSS JOIN (SELECT make_interval(secs => value::double precision) AS grace FROM campaign.settings WHERE key = 'unknown_grace_seconds') AS g
 WHERE o.on_unknown IN ('resend', 'fail') AND m.state = 'unknown' AND m.resends = 0
   AND greatest(m.claimed_at, o.webhooks_since) + g.grace <= clock_timestamp()
 ORDER BY m.id
 LIMIT 1000

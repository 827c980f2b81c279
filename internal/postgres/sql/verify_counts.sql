-- Counters against rows, and rows against the plan's total. A scan of the
-- campaign: this is the proof that status, which only adds counters up, is right.
WITH ids AS (
  SELECT COALESCE((SELECT first_id FROM campaign.campaigns WHERE id = @campaign), 0) AS least,
         COALESCE((SELECT last_id FROM campaign.campaigns WHERE id = @campaign), (SELECT last_value FROM campaign.message_ids)) AS greatest),
rows AS (
  SELECT campaign_id, channel_id, state,
         CASE WHEN state IN ('deferred', 'pending') AND reason = 'window' THEN 'window/' || zone_set
              WHEN state IN ('skipped', 'deferred', 'pending') THEN reason WHEN state = 'failed' THEN error_code ELSE '' END AS detail,
         count(*) AS n
    FROM campaign.messages, ids
   WHERE id BETWEEN ids.least AND ids.greatest AND (@campaign = 0 OR campaign_id = @campaign)
   GROUP BY 1, 2, 3, 4),
counters AS (
  SELECT campaign_id, channel_id, state, detail, n FROM campaign.message_totals WHERE @campaign = 0 OR campaign_id = @campaign)
SELECT 'counter', campaign_id,
       format('%s messages are %s%s, the counter says %s', COALESCE(r.n, 0), state, CASE WHEN detail <> '' THEN ' (' || detail || ')' ELSE '' END, COALESCE(c.n, 0)),
       abs(COALESCE(r.n, 0) - COALESCE(c.n, 0))::bigint, '{}'::bigint[]
  FROM rows AS r FULL JOIN counters AS c USING (campaign_id, channel_id, state, detail)
 WHERE COALESCE(r.n, 0) <> COALESCE(c.n, 0)
UNION ALL
SELECT 'total', c.id, format('the campaign has %s recipients and %s messages', c.total, COALESCE(r.n, 0)),
       abs(c.total - COALESCE(r.n, 0))::bigint, '{}'::bigint[]
  FROM campaign.campaigns AS c
  LEFT JOIN (SELECT campaign_id, sum(n) AS n FROM rows GROUP BY 1) AS r ON r.campaign_id = c.id
 WHERE (@campaign = 0 OR c.id = @campaign) AND c.total <> COALESCE(r.n, 0)

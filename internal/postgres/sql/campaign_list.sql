-- The newest campaigns with their counters. paused is shown, not stored.
SELECT * FROM (
  SELECT c.id, c.name, c.key, ch.name AS channel,
         CASE WHEN c.state IN ('scheduled', 'running')
               AND EXISTS (SELECT FROM campaign.holds AS h
                            WHERE (h.until IS NULL OR h.until > clock_timestamp())
                              AND (h.scope = 'campaign' AND h.scope_id = c.id
                                   OR h.scope = 'channel' AND h.scope_id = c.channel_id
                                   OR h.scope = 'account' AND h.scope_id = ch.account_id
                                   OR h.scope = 'template' AND h.scope_id = ANY(c.template_ids)))
              THEN 'paused' ELSE c.state END AS state,
         c.total,
         COALESCE((SELECT jsonb_object_agg(n.state, n.n)
                     FROM (SELECT state, sum(n)::bigint AS n FROM campaign.message_totals WHERE campaign_id = c.id GROUP BY state) AS n), '{}') AS counts,
         c.created_at, c.starts_at, c.started_at, c.finished_at
    FROM campaign.campaigns AS c
    JOIN campaign.channels AS ch ON ch.id = c.channel_id) AS shown
 WHERE (@state::text = '' OR state = @state) AND (@channel::text = '' OR channel = @channel)
 ORDER BY id DESC
 LIMIT @limit

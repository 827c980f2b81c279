-- Unknown messages and whether their grace is over: it runs from the later of the
-- claim and the first webhook after the daemon's start, and only with an empty
-- inbox (design §4.8). Carried by the primary key between the campaign's bounds.
SELECT m.id,
       COALESCE(greatest(m.claimed_at, ch.webhooks_since) + g.grace <= clock_timestamp(), false)
       AND ch.webhooks_since IS NOT NULL
       AND NOT EXISTS (SELECT FROM campaign.webhooks AS w WHERE w.applied_at IS NULL AND w.channel_id = m.channel_id) AS over,
       CASE WHEN ch.webhooks_since IS NOT NULL THEN greatest(m.claimed_at, ch.webhooks_since) + g.grace END AS until
  FROM campaign.messages AS m
  JOIN campaign.channels AS ch ON ch.id = m.channel_id
 CROSS JOIN (SELECT make_interval(secs => value::double precision) AS grace FROM campaign.settings WHERE key = 'unknown_grace_seconds') AS g
 WHERE m.state = 'unknown' AND m.id > @after
   AND (@campaign = 0 AND m.id = ANY(@only::bigint[])
        OR @campaign <> 0 AND m.campaign_id = @campaign AND (cardinality(@only::bigint[]) IS NULL OR cardinality(@only::bigint[]) = 0 OR m.id = ANY(@only::bigint[]))
           AND m.id BETWEEN (SELECT first_id FROM campaign.campaigns WHERE id = @campaign) AND (SELECT last_id FROM campaign.campaigns WHERE id = @campaign))
 ORDER BY m.id
 LIMIT @limit

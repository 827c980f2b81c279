SELECT c.name, c.key, c.state, c.total, c.starts_at, c.started_at, c.finished_at,
       CASE WHEN c.held_at IS NOT NULL AND c.released_at IS NULL THEN least(1, NULLIF(c.rate, 0)) ELSE c.rate END, ch.rate,
       COALESCE((SELECT sum(s.posts) / @window::double precision
                   FROM campaign.samples AS s
                  WHERE s.campaign_id = c.id AND s.at > clock_timestamp() - make_interval(secs => @window)), 0)::double precision,
       c.first_id, c.last_id, ch.name, COALESCE(c.spec->'template'->>'name', ''), c.created_at, clock_timestamp(),
       c.held_at IS NOT NULL AND c.released_at IS NULL, c.plan_hash <> ''
  FROM campaign.campaigns AS c
  JOIN campaign.channels AS ch ON ch.id = c.channel_id
 WHERE c.id = @campaign

-- The nodes, who leads them, and what each may send and sends now: by the shares
-- whose lease runs.
SELECT n.name, n.host, n.pid, n.version, n.roles, n.listen, n.started_at, n.seen_at,
       CASE WHEN n.seen_at < clock_timestamp() - make_interval(secs => @lost) THEN 'lost' ELSE 'running' END AS state,
       EXISTS (SELECT FROM river.river_leader AS l WHERE l.leader_id = n.name AND l.expires_at > clock_timestamp()) AS leader,
       COALESCE(w.rate, 0) AS rate,
       COALESCE(w.channels, '[]') AS channels
  FROM campaign.nodes AS n
 CROSS JOIN LATERAL (
       SELECT sum(s.sent) AS rate,
              json_agg(json_build_object('channel', c.name, 'rate', COALESCE(s.sent, 0), 'share', NULLIF(s.share, 'Infinity'),
                                         'limit', least(NULLIF(c.rate, 0), NULLIF(d.rate, 0))) ORDER BY c.name) AS channels
         FROM campaign.channels AS c
         LEFT JOIN campaign.channel_shares AS s ON s.channel_id = c.id AND s.node = n.name AND s.expires_at > clock_timestamp()
         LEFT JOIN campaign.channel_slowdowns AS d ON d.channel_id = c.id
        WHERE c.id = ANY(n.channels)) AS w
 ORDER BY n.host, n.started_at, n.name

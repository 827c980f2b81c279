-- What a renewal decides from: the channel's limit, the slow-down that all nodes
-- share, and what the others sent just now. In a statement of its own: its
-- snapshot is taken after the channel's share lock.
SELECT c.rate, clock_timestamp() AS now,
       COALESCE(w.rate, 0) AS slowed, COALESCE(w.refused, 0) AS refused, w.cut_at, w.quiet_at,
       COALESCE((SELECT sum(s.sent) FROM campaign.channel_shares AS s
                  WHERE s.channel_id = c.id AND s.node <> @node AND s.expires_at > clock_timestamp()), 0) AS sent
  FROM campaign.channels AS c
  LEFT JOIN campaign.channel_slowdowns AS w ON w.channel_id = c.id
 WHERE c.id = @channel

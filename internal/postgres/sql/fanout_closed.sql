-- Of the messages that fan-out takes next, those whose people's window is closed.
-- Carried by messages_due_idx and bounded before the sets are looked at: a filter
-- over everything due would read ten million rows for the few at their end.
SELECT head.id
  FROM (SELECT m.id, m.zone_set
          FROM campaign.messages AS m
         WHERE m.campaign_id = @campaign AND m.priority = 2 AND m.due_at <= now() AND m.id BETWEEN @first AND @last
           AND m.state IN ('pending', 'deferred')
         ORDER BY m.due_at, m.id
         LIMIT @limit) AS head
 WHERE head.zone_set = ANY(@closed::smallint[])

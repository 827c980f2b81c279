-- When the first waiting message of each reason goes on. One probe of
-- messages_due_idx, bounded: a reason that is not among the next thousand is not
-- told a time. now() and not clock_timestamp(), which no index condition takes.
SELECT reason, min(due_at)
  FROM (SELECT m.reason, m.due_at
          FROM campaign.messages AS m
         WHERE m.campaign_id = @campaign AND m.priority = 2 AND m.due_at > now() AND m.id BETWEEN @first AND @last
         ORDER BY m.due_at
         LIMIT 1000) AS soon
 GROUP BY reason

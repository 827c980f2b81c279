-- A part of what waits for a frequency cap in a campaign, after a due time and id.
-- Carried by messages_due_idx: all that waits in the campaign is passed once,
-- whatever it waits for. The bound of the due time alone is what lets a partial
-- index be used.
SELECT m.id, m.due_at
  FROM campaign.messages AS m
 WHERE m.campaign_id = @campaign AND m.priority = @priority AND m.id BETWEEN @first AND @last
   AND m.due_at >= @due::timestamptz AND (m.due_at, m.id) > (@due::timestamptz, @after::bigint)
   AND m.state IN ('pending', 'deferred') AND m.reason = 'frequency_cap'
 ORDER BY m.due_at, m.id
 LIMIT @limit

-- What was asked for and is to be planned now, the oldest first. With @id only
-- that one, whenever it is due.
SELECT r.id, r.source, COALESCE(r.campaign_id, 0), COALESCE(c.name, ''), COALESCE(c.key, ''), COALESCE(c.state, ''), COALESCE(c.plan_hash <> '', false), COALESCE(c.eligible, 0),
       r.document, r.as_of, r.files, r.expect_least, r.expect_most, r.expires_at, r.tries, r.problem
  FROM campaign.launch_requests AS r
  LEFT JOIN campaign.campaigns AS c ON c.id = r.campaign_id
 WHERE r.due_at IS NOT NULL AND (r.id = @id OR @id::bigint = 0 AND r.due_at <= @now)
 ORDER BY r.due_at, r.id
 LIMIT @limit

SELECT o.at, o.outcome, o.reason, COALESCE(o.campaign_id, 0) AS campaign_id, COALESCE(c.state, '') AS state
  FROM campaign.schedule_occurrences AS o
  LEFT JOIN campaign.campaigns AS c ON c.id = o.campaign_id
 WHERE o.schedule_id = @schedule
 ORDER BY o.at DESC
 LIMIT @limit

-- Why a campaign was cancelled, by a daemon or a person, is what its last
-- cancellation was noted with.
SELECT o.at, o.outcome, COALESCE(o.campaign_id, 0) AS campaign_id, COALESCE(c.state, '') AS state,
       CASE WHEN c.state = 'cancelled'
            THEN COALESCE((SELECT a.reason FROM campaign.audit AS a
                            WHERE a.campaign_id = c.id AND a.campaign_id > 0 AND a.action = 'cancel' ORDER BY a.id DESC LIMIT 1), '')
            ELSE o.reason END AS reason
  FROM campaign.schedule_occurrences AS o
  LEFT JOIN campaign.campaigns AS c ON c.id = o.campaign_id
 WHERE o.schedule_id = @schedule
 ORDER BY o.at DESC
 LIMIT @limit

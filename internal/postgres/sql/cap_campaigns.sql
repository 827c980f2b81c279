-- Of which campaigns that have not ended something waits for a frequency cap, by
-- their counters; 0 stands for the messages of none.
SELECT n.campaign_id AS campaign, COALESCE(c.first_id, 0) AS first,
       COALESCE(c.last_id, (SELECT last_value FROM campaign.message_ids)) AS last, clock_timestamp() AS now
  FROM campaign.message_totals AS n
  LEFT JOIN campaign.campaigns AS c ON c.id = n.campaign_id
 WHERE n.state IN ('pending', 'deferred') AND n.detail = 'frequency_cap'
   AND (n.campaign_id = 0 OR c.state IN ('draft', 'scheduled', 'running'))
 GROUP BY n.campaign_id, c.first_id, c.last_id
HAVING sum(n.n) > 0
 ORDER BY n.campaign_id

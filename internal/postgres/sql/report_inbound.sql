-- What people answered to a campaign, and which buttons they pressed. Carried by
-- replies_campaign_id_idx. The first row counts everything. Somebody who was
-- forgotten answered, too, and is counted as one person with the others of them.
SELECT '' AS payload, count(*), count(DISTINCT contact_id) FROM campaign.replies WHERE campaign_id = @campaign AND campaign_id > 0
UNION ALL
(SELECT payload, count(*), 0 FROM campaign.replies
  WHERE campaign_id = @campaign AND campaign_id > 0 AND payload <> ''
  GROUP BY payload ORDER BY count(*) DESC, payload LIMIT 100)

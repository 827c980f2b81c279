SELECT m.id
  FROM campaign.campaigns AS c
  JOIN campaign.messages AS m ON m.campaign_id = c.id AND m.id BETWEEN c.first_id AND c.last_id
 WHERE c.id = @campaign AND m.id > @after AND m.state = 'failed' AND m.error_code = @code
 ORDER BY m.id
 LIMIT @limit

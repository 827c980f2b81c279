SELECT m.phone, t.language, c.constants || m.parameters, t.id
  FROM campaign.campaigns AS c
  JOIN campaign.messages AS m ON m.campaign_id = c.id AND m.id BETWEEN c.first_id AND c.last_id AND m.state <> 'skipped'
  JOIN campaign.templates AS t ON t.id = m.template_id
 WHERE c.id = @campaign
 ORDER BY m.id
 LIMIT @limit

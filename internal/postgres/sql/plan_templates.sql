SELECT t.name || ' (' || t.language || ')', t.status, t.changed_at > c.created_at
  FROM campaign.campaigns AS c
  JOIN campaign.templates AS t ON t.id = ANY(c.template_ids)
 WHERE c.id = @campaign
 ORDER BY t.language

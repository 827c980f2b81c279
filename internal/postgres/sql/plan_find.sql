SELECT c.id, c.name, c.state, c.plan_hash, c.total, c.eligible,
       COALESCE((SELECT jsonb_object_agg(n.detail, n.n)
                   FROM (SELECT detail, sum(n)::bigint AS n FROM campaign.message_totals
                          WHERE campaign_id = c.id AND state = 'skipped' GROUP BY detail) AS n), '{}'),
       c.spec_hash, c.spec
  FROM campaign.campaigns AS c
 WHERE c.name = @name AND c.key = @key

-- A second plan of the same name and key waits here for the first one's commit.
-- The row that a request made for a plan to come is filled, once; @campaign is 0
-- where there is no request. The number taken from the sequence is below every id
-- of the plan.
INSERT INTO campaign.campaigns AS c (name, key, channel_id, list_id, spec, spec_hash, rate, constants, template_ids, starts_at, not_after)
VALUES (@name, @key, @channel, @list, @spec, @spec_hash, @rate, @constants, @templates, @starts_at, @not_after)
ON CONFLICT (name, key) DO UPDATE
   SET channel_id = excluded.channel_id, list_id = excluded.list_id, spec = excluded.spec, spec_hash = excluded.spec_hash,
       rate = excluded.rate, constants = excluded.constants, template_ids = excluded.template_ids,
       starts_at = excluded.starts_at, not_after = excluded.not_after, created_at = excluded.created_at
 WHERE c.id = @campaign AND c.state = 'draft' AND c.plan_hash = ''
RETURNING c.id, c.created_at, nextval('campaign.message_ids')

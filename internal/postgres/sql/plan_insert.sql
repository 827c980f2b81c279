-- A second plan of the same name and key waits here for the first one's commit.
-- The number taken from the sequence is below every id of the plan.
INSERT INTO campaign.campaigns (name, key, channel_id, list_id, spec, spec_hash, rate, constants, template_ids, starts_at, not_after)
VALUES (@name, @key, @channel, @list, @spec, @spec_hash, @rate, @constants, @templates, @starts_at, @not_after)
ON CONFLICT (name, key) DO NOTHING
RETURNING id, created_at, nextval('campaign.message_ids')

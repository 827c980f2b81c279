-- Takes the name and the key of an occurrence's campaign, and asks for its plan.
-- Nothing happens when a campaign of that name and key exists.
WITH made AS (
  INSERT INTO campaign.campaigns (name, key, channel_id, spec, spec_hash)
  SELECT s.name, @key, s.channel_id, @spec, '' FROM campaign.schedules AS s WHERE s.id = @schedule
  ON CONFLICT (name, key) DO NOTHING
  RETURNING id),
asked AS (
  INSERT INTO campaign.launch_requests (source, caller, idempotency_key, campaign_id, document, document_hash, as_of, files,
                                        expect_least, expect_most, expires_at, due_at)
  SELECT 'schedule', s.id::text, @key, made.id, s.document, s.document_hash, @at, s.files, s.expect_least, s.expect_most, @expires_at, @now
    FROM campaign.schedules AS s, made WHERE s.id = @schedule
  RETURNING campaign_id)
SELECT campaign_id, pg_notify(@channel, campaign_id::text) FROM asked

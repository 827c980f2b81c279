-- By number first, then by name, the newest first.
SELECT id, name, key, channel_id, COALESCE(list_id, 0) AS list_id, state, spec, spec_hash, plan_hash, total, eligible,
       first_id, last_id, created_at, starts_at, not_after, started_at, finished_at
  FROM campaign.campaigns
 WHERE id = @id OR name = @name
 ORDER BY id <> @id, id DESC

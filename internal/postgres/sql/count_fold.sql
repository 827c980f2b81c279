-- Folds the deltas into the sums: one process at a time, the caller holds an
-- advisory lock.
WITH gone AS (
  DELETE FROM campaign.message_count_deltas RETURNING campaign_id, channel_id, state, detail, n),
sums AS (
  SELECT campaign_id, channel_id, state, detail, sum(n)::bigint AS n
    FROM gone GROUP BY campaign_id, channel_id, state, detail HAVING sum(n) <> 0)
INSERT INTO campaign.message_counts AS c (campaign_id, channel_id, state, detail, n)
SELECT campaign_id, channel_id, state, detail, n FROM sums ORDER BY campaign_id, channel_id, state, detail
ON CONFLICT (campaign_id, channel_id, state, detail) DO UPDATE SET n = c.n + excluded.n

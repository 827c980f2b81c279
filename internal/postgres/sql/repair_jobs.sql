-- Gives queued messages without a live job their job back, under the row's lock:
-- whoever claims or releases it meanwhile is waited for, and then the state is no
-- longer queued.
WITH m AS (
  SELECT id, attempt, campaign_id, channel_id, priority
    FROM campaign.messages
   WHERE id = ANY(@ids::bigint[]) AND id BETWEEN @least AND @greatest AND state = 'queued'
   ORDER BY id
     FOR UPDATE),
jobs AS (
  SELECT (args->>'message')::bigint AS message, (args->>'attempt')::int AS attempt
    FROM river.river_job
   WHERE kind = 'send' AND state IN ('available', 'scheduled', 'retryable', 'pending'))
INSERT INTO river.river_job (kind, queue, args, max_attempts, priority)
SELECT 'send', 'ch_' || m.channel_id || CASE m.priority WHEN 1 THEN '_high' ELSE '' END,
       jsonb_build_object('message', m.id, 'attempt', m.attempt, 'campaign', m.campaign_id), @max_attempts, m.priority
  FROM m
 WHERE NOT EXISTS (SELECT FROM jobs WHERE jobs.message = m.id AND jobs.attempt = m.attempt)

-- Messages without jobs and jobs without messages. (A job whose message has moved
-- on is no finding: it does nothing.)
WITH jobs AS (
  SELECT (args->>'message')::bigint AS message, (args->>'attempt')::int AS attempt
    FROM river.river_job
   WHERE kind = 'send' AND state IN ('available', 'scheduled', 'retryable', 'pending')),
queued AS (
  SELECT m.id, m.campaign_id, m.attempt
    FROM campaign.messages AS m
   WHERE m.state = 'queued' AND (@campaign = 0 OR m.campaign_id = @campaign)
     AND m.id BETWEEN COALESCE((SELECT first_id FROM campaign.campaigns WHERE id = @campaign), 0)
                  AND COALESCE((SELECT last_id FROM campaign.campaigns WHERE id = @campaign), (SELECT last_value FROM campaign.message_ids)))
SELECT 'no_job', campaign_id, 'queued messages have no job (a daemon gives it back within 15 s)', count(*), (array_agg(id ORDER BY id))[1:10]
  FROM queued AS q
 WHERE NOT EXISTS (SELECT FROM jobs AS j WHERE j.message = q.id AND j.attempt = q.attempt)
 GROUP BY campaign_id
UNION ALL
SELECT 'no_message', 0, 'jobs are for messages that do not exist', count(*), (array_agg(message ORDER BY message))[1:10]
  FROM jobs AS j
 WHERE @campaign = 0 AND NOT EXISTS (SELECT FROM campaign.messages AS m WHERE m.id = j.message)
HAVING count(*) > 0

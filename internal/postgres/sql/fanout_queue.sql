-- Queues due messages and inserts their jobs in one statement. Carried by
-- messages_due_idx; clearing due_at is the only update of a message that is not
-- HOT. now() and not clock_timestamp(), which would be a filter over every due
-- row instead of a bound of the index. Rows locked by somebody else are passed
-- over.
WITH due AS (
  SELECT id, state, CASE WHEN reason = 'window' THEN 'window/' || zone_set ELSE reason END AS detail
    FROM campaign.messages
   WHERE campaign_id = @campaign AND priority = @priority AND channel_id = @channel AND due_at <= now()
     AND id BETWEEN @first AND @last AND template_id <> ALL(@held::bigint[])
     AND state IN ('pending', 'deferred')
   ORDER BY due_at, id
   LIMIT @limit
     FOR UPDATE SKIP LOCKED),
turn AS (
  UPDATE campaign.messages AS m
     SET state = 'queued', attempt = m.attempt + 1, due_at = NULL, updated_at = now()
    FROM due
   WHERE m.id = due.id AND m.id BETWEEN @first AND @last
  RETURNING m.id, m.attempt, due.state, due.detail),
jobs AS (
  INSERT INTO river.river_job (kind, queue, args, max_attempts, priority)
  SELECT 'send', @queue, json_build_object('message', id, 'attempt', attempt, 'campaign', @campaign::bigint)::jsonb, @max_attempts, @priority
    FROM turn ORDER BY id)
SELECT state, detail, count(*) FROM turn GROUP BY state, detail

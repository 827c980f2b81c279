-- What still waits in a campaign: due rows by their index, queued ones by their
-- jobs. (Queued rows without a job are found by the repair pass.)
(SELECT m.id FROM campaign.messages AS m, campaign.campaigns AS c
  WHERE c.id = @campaign AND m.campaign_id = c.id AND m.due_at IS NOT NULL AND m.id BETWEEN c.first_id AND c.last_id
  LIMIT @limit)
UNION
(SELECT (j.args->>'message')::bigint FROM river.river_job AS j, campaign.campaigns AS c
  WHERE c.id = @campaign AND j.kind = 'send' AND j.queue = 'ch_' || c.channel_id
    AND j.state IN ('available', 'scheduled', 'retryable') AND (j.args->>'campaign')::bigint = c.id
  LIMIT @limit)

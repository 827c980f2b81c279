-- Messages whose worker died with a claim: their job is still running for River.
-- Carried by river_job's (state, queue, ...) index: few rows, whatever the size
-- of the campaign.
SELECT m.id
  FROM river.river_job AS j
  JOIN campaign.messages AS m ON m.id = (j.args->>'message')::bigint
 WHERE j.state = 'running' AND j.kind = 'send'
   AND m.state = 'sending' AND m.claimed_at < clock_timestamp() - make_interval(secs => @seconds)
 ORDER BY m.id

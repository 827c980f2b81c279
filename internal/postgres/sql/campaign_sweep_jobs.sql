-- Jobs of swept messages; one that a worker has fetched meanwhile finds nothing
-- to do.
DELETE FROM river.river_job AS j
 USING campaign.campaigns AS c
 WHERE c.id = @campaign AND j.kind = 'send' AND j.queue = 'ch_' || c.channel_id
   AND j.state IN ('available', 'scheduled', 'retryable')
   AND (j.args->>'campaign')::bigint = c.id AND (j.args->>'message')::bigint = ANY(@messages::bigint[])

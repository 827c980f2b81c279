-- Jobs of swept messages. One that a worker takes at this moment is left to it: it
-- finds nothing to do, and to wait for it could be to wait for ourselves.
DELETE FROM river.river_job
 WHERE id IN (
       SELECT j.id FROM river.river_job AS j, campaign.campaigns AS c
        WHERE c.id = @campaign AND j.kind = 'send' AND j.queue = 'ch_' || c.channel_id
          AND j.state IN ('available', 'scheduled', 'retryable')
          AND (j.args->>'campaign')::bigint = c.id AND (j.args->>'message')::bigint = ANY(@messages::bigint[])
          FOR UPDATE OF j SKIP LOCKED)

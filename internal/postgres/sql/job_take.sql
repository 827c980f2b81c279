-- The next jobs of some queues, locked. Carried by river_job_available_idx. Jobs that somebody else takes at this moment are
-- passed over.
SELECT w.line, j.id, j.message, j.attempt, j.campaign
  FROM unnest(@lines::int[], @queues::text[], @counts::int[]) WITH ORDINALITY AS w(line, queue, n, place)
 CROSS JOIN LATERAL (
       SELECT id, (args->>'message')::bigint AS message, (args->>'attempt')::int AS attempt, COALESCE((args->>'campaign')::bigint, 0) AS campaign
         FROM river.river_job
        WHERE state = 'available' AND queue = w.queue AND kind = 'send' AND scheduled_at <= now()
        ORDER BY priority, scheduled_at, id
        LIMIT w.n
          FOR UPDATE SKIP LOCKED) AS j
 ORDER BY w.place

-- The longest period that a frequency cap counts over: the installation's, or that
-- of a campaign that has not ended. A file that waits for its plan has its period
-- as somebody wrote it; it is no number before the plan.
SELECT greatest((SELECT f.per FROM campaign.frequency_caps AS f),
                (SELECT make_interval(secs => max(CASE jsonb_typeof(c.spec->'frequency_cap'->'per')
                                                       WHEN 'number' THEN (c.spec->'frequency_cap'->>'per')::float8 / 1e9 END))
                   FROM campaign.campaigns AS c
                  WHERE c.state IN ('draft', 'scheduled', 'running')),
                interval '0')

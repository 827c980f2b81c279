-- River's two GIN indexes serve ad-hoc JSON filters only, and every job pays for
-- them three times: without them twice as many jobs a second (28 against 14
-- thousand on two cores). The reindexer tolerates their absence.
DROP INDEX IF EXISTS river.river_job_args_index;
DROP INDEX IF EXISTS river.river_job_metadata_index;
-- The one on kind serves the same filters, and every version of a job pays for it.
DROP INDEX IF EXISTS river.river_job_kind;

-- Jobs are three row versions each and live for minutes: vacuum early and
-- without sleeping.
ALTER TABLE river.river_job SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE campaign.message_count_deltas SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0);

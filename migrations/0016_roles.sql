-- Who may do what. Group roles without a login: give your own login roles one of
-- them. Roles belong to the whole server, so that several databases share them.
DO $$
DECLARE
    missing text[];
    name    text;
BEGIN
    SELECT array_agg(r ORDER BY r) INTO missing
      FROM unnest(ARRAY['campaign_daemon', 'campaign_operator', 'campaign_viewer', 'campaign_enqueuer', 'campaign_river_enqueuer']) AS r
     WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r);
    IF missing IS NULL THEN
        RETURN;
    ELSIF NOT (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
        RAISE EXCEPTION 'the roles % are missing and this user may not create them', array_to_string(missing, ', ') USING ERRCODE = '42501',
            HINT = 'let an administrator run: ' || (SELECT string_agg(format('CREATE ROLE %I NOLOGIN;', r), ' ') FROM unnest(missing) AS r) || ' then migrate again';
    END IF;
    FOREACH name IN ARRAY missing LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database of this server is migrated at the same moment
        END;
    END LOOP;
END $$;

-- What only the owner of messages may do, and a daemon must.
CREATE FUNCTION campaign.make_message_partition(n bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    width CONSTANT bigint := 25000000;
    name  text := 'messages_' || lpad(n::text, 5, '0');
BEGIN
    PERFORM pg_advisory_xact_lock(7402202);
    IF to_regclass('campaign.' || name) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Attaching takes a lock that goes with reads and writes, CREATE ... PARTITION OF
    -- does not; the check constraint spares it its scan. Fillfactor 50: a message is
    -- written six times in its life, and its neighbours at the same time; with room for
    -- two versions of each in its own page 47 % of the updates of a campaign are HOT
    -- (every one but fan-out's and those that meet a full page), with 80 it was 34 %,
    -- and sending writes 1.85 kB of WAL a message instead of 2.05.
    -- Vacuum early: a partition of 25 million rows would otherwise collect 5 million
    -- dead ones first.
    EXECUTE format('CREATE TABLE campaign.%I (LIKE campaign.messages INCLUDING ALL)
        WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1,
              autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 1)', name);
    EXECUTE format('ALTER TABLE campaign.%I ADD CONSTRAINT %I CHECK (id >= %s AND id < %s)', name, name || '_range', n * width, (n + 1) * width);
    EXECUTE format('ALTER TABLE campaign.messages ATTACH PARTITION campaign.%I FOR VALUES FROM (%s) TO (%s)', name, n * width, (n + 1) * width);
    EXECUTE format('ALTER TABLE campaign.%I DROP CONSTRAINT %I', name, name || '_range');
END $$;

-- DETACH takes an exclusive lock for an instant (its concurrent form runs in no
-- function): it is asked for at most a second, in which senders wait, and the
-- caller tries again.
CREATE FUNCTION campaign.drop_message_partition(n bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    name text := 'messages_' || lpad(n::text, 5, '0');
BEGIN
    EXECUTE format('ALTER TABLE campaign.messages DETACH PARTITION campaign.%I', name);
    EXECUTE format('DROP TABLE campaign.%I', name);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA campaign FROM PUBLIC;
REVOKE ALL ON SCHEMA campaign, river FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA campaign, river FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA campaign, river FROM PUBLIC;
GRANT USAGE ON SCHEMA campaign TO campaign_daemon, campaign_operator, campaign_viewer, campaign_enqueuer;
GRANT USAGE ON SCHEMA river TO campaign_daemon, campaign_operator, campaign_viewer, campaign_river_enqueuer;

-- The daemon and the operator: all rows, no structure. What later migrations add
-- is theirs too, unless they say otherwise; the role table of docs/roles.md, which
-- a test makes, shows it.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA campaign TO campaign_daemon, campaign_operator;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA campaign TO campaign_daemon, campaign_operator;
ALTER DEFAULT PRIVILEGES IN SCHEMA campaign GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO campaign_daemon, campaign_operator;
ALTER DEFAULT PRIVILEGES IN SCHEMA campaign GRANT USAGE, SELECT ON SEQUENCES TO campaign_daemon, campaign_operator;
REVOKE INSERT, UPDATE, DELETE ON campaign.migrations, campaign.message_totals, campaign.number_prefixes FROM campaign_daemon, campaign_operator;
REVOKE UPDATE, DELETE ON campaign.audit FROM campaign_daemon, campaign_operator;
REVOKE INSERT, UPDATE, DELETE ON campaign.settings FROM campaign_operator;
REVOKE INSERT, UPDATE, DELETE ON campaign.message_counts, campaign.channel_shares, campaign.samples FROM campaign_operator;
REVOKE UPDATE, DELETE ON campaign.message_count_deltas FROM campaign_operator;
REVOKE INSERT ON campaign.webhooks, campaign.idempotency_keys FROM campaign_operator;
REVOKE INSERT, UPDATE ON campaign.idempotency_keys FROM campaign_daemon;
GRANT EXECUTE ON FUNCTION campaign.make_message_partition(bigint) TO campaign_daemon, campaign_operator;
GRANT EXECUTE ON FUNCTION campaign.drop_message_partition(bigint), campaign.enqueue_job(bigint) TO campaign_daemon;
GRANT EXECUTE ON FUNCTION campaign.notify_events(boolean) TO campaign_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA river TO campaign_daemon;
REVOKE INSERT, UPDATE, DELETE ON river.river_migration FROM campaign_daemon;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA river TO campaign_daemon;
GRANT SELECT ON river.river_job, river.river_migration TO campaign_operator;
GRANT DELETE ON river.river_job TO campaign_operator; -- of what forgetting somebody finds, see the policy

-- The viewer reads what reports, exports and status show, people's numbers and
-- parameters among it, and neither what the provider wrote nor what services asked.
GRANT SELECT ON ALL TABLES IN SCHEMA campaign TO campaign_viewer;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA campaign TO campaign_viewer;
ALTER DEFAULT PRIVILEGES IN SCHEMA campaign GRANT SELECT ON TABLES TO campaign_viewer;
ALTER DEFAULT PRIVILEGES IN SCHEMA campaign GRANT SELECT ON SEQUENCES TO campaign_viewer;
REVOKE ALL ON campaign.webhooks, campaign.idempotency_keys FROM campaign_viewer;
GRANT SELECT ON river.river_job TO campaign_viewer;
GRANT SELECT ON river.river_leader TO campaign_operator, campaign_viewer; -- node list says who leads

-- Services call functions and read nothing.
GRANT EXECUTE ON FUNCTION campaign.enqueue, campaign.enqueue_many, campaign.message_status, campaign.cancel_message, campaign.opt_in, campaign.launch
   TO campaign_enqueuer;

-- Or they insert jobs of one kind into one queue, which row security holds them
-- to. River's client reads back what it inserted, and resolves a conflict by
-- writing the kind. The owner of the table is bound by none of this: functions
-- that run as the owner, and migrations.
GRANT SELECT, INSERT, UPDATE (kind) ON river.river_job TO campaign_river_enqueuer;
GRANT USAGE ON SEQUENCE river.river_job_id_seq TO campaign_river_enqueuer;
ALTER TABLE river.river_job ENABLE ROW LEVEL SECURITY;
-- Under row security the planner takes no equality of an enum as given (it is not
-- leakproof), so River's index on (state, queue, ...) no longer gives the order: it
-- would read and sort a whole backlog for each few jobs. 20,000 jobs in a queue, to
-- fetch four: 94 ms, with this one 0.1 ms.
CREATE INDEX river_job_available_idx ON river.river_job (queue, priority, scheduled_at, id) WHERE state = 'available';
CREATE POLICY campaign_daemon ON river.river_job TO campaign_daemon USING (true) WITH CHECK (true);
CREATE POLICY campaign_operator ON river.river_job FOR SELECT TO campaign_operator USING (true);
CREATE POLICY campaign_operator_forget ON river.river_job FOR DELETE TO campaign_operator USING (kind = 'enqueue_message' AND state <> 'running');
CREATE POLICY campaign_viewer ON river.river_job FOR SELECT TO campaign_viewer USING (kind = 'send');
CREATE POLICY campaign_river_enqueuer ON river.river_job TO campaign_river_enqueuer
    USING (kind = 'enqueue_message' AND queue = 'enqueue' AND metadata ->> 'enqueued_by' = session_user)
    WITH CHECK (kind = 'enqueue_message' AND queue = 'enqueue' AND state IN ('available', 'scheduled') AND metadata ->> 'enqueued_by' = session_user);

-- The key of the hashes of people is for who asks the suppression list: with it,
-- whoever reads the hashes can try numbers until they know who was forgotten.
ALTER TABLE campaign.settings ENABLE ROW LEVEL SECURITY;
CREATE POLICY readers ON campaign.settings FOR SELECT USING (key <> 'person_key');
CREATE POLICY campaign_daemon ON campaign.settings TO campaign_daemon USING (true) WITH CHECK (true);
CREATE POLICY campaign_operator ON campaign.settings FOR SELECT TO campaign_operator USING (true);

-- River rebuilds bloated indexes, which takes the owner or, since PostgreSQL 17,
-- this right.
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 170000 THEN
        EXECUTE 'GRANT MAINTAIN ON river.river_job TO campaign_daemon';
    END IF;
END $$;

-- Campaigns that a daemon plans and starts: asked for by services with
-- campaign.launch, or by schedules when their time comes.

-- The campaign's row is there from the beginning, a draft without a plan: so its
-- name, its key and its number are taken with the request's transaction.
COMMENT ON COLUMN campaign.campaigns.plan_hash IS 'over everything that the plan froze; empty while a daemon has yet to plan what a service or a schedule asked for';

CREATE TABLE campaign.launch_requests (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source          text NOT NULL CONSTRAINT launch_requests_source_check CHECK (source IN ('sql', 'schedule')),
    caller          text NOT NULL,
    idempotency_key text NOT NULL,
    campaign_id     bigint,
    document        text NOT NULL,
    document_hash   text NOT NULL,
    as_of           timestamptz,
    files           jsonb NOT NULL DEFAULT '{}',
    expect_least    bigint,
    expect_most     bigint,
    expires_at      timestamptz NOT NULL,
    due_at          timestamptz,
    tries           integer NOT NULL DEFAULT 0,
    problem         text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CONSTRAINT launch_requests_key UNIQUE (source, caller, idempotency_key)
);
CREATE INDEX launch_requests_due_idx ON campaign.launch_requests (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX launch_requests_campaign_id_idx ON campaign.launch_requests (campaign_id);
COMMENT ON TABLE campaign.launch_requests IS 'who asked for which campaign under which key; kept 90 days after it was carried out, so that the same key finds the same campaign';
COMMENT ON COLUMN campaign.launch_requests.caller IS 'the session''s user, or the number of the schedule';
COMMENT ON COLUMN campaign.launch_requests.document IS 'the campaign file, YAML or JSON';
COMMENT ON COLUMN campaign.launch_requests.as_of IS 'the moment that {date} and the like in the document stand for; null: such words are text';
COMMENT ON COLUMN campaign.launch_requests.files IS 'local header files: path as in the document to the hexadecimal SHA-256 in media_files';
COMMENT ON COLUMN campaign.launch_requests.expires_at IS 'not started after this moment, but cancelled: nobody wants Friday''s sale on Monday';
COMMENT ON COLUMN campaign.launch_requests.due_at IS 'when a daemon takes it up, for the first time or again; null: carried out';

CREATE TABLE campaign.schedules (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL CONSTRAINT schedules_name_key UNIQUE,
    channel_id    bigint NOT NULL REFERENCES campaign.channels,
    document      text NOT NULL,
    document_hash text NOT NULL,
    files         jsonb NOT NULL DEFAULT '{}',
    cron          text NOT NULL,
    time_zone     text NOT NULL,
    late_seconds  bigint NOT NULL CONSTRAINT schedules_late_seconds_check CHECK (late_seconds > 0),
    expect_least  bigint,
    expect_most   bigint,
    ends_at       timestamptz,
    next_at       timestamptz,
    paused_at     timestamptz,
    pause_reason  text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX schedules_next_at_idx ON campaign.schedules (next_at) WHERE next_at IS NOT NULL;
COMMENT ON COLUMN campaign.schedules.document IS 'the campaign file; {date} and the like stand for the moment of an occurrence';
COMMENT ON COLUMN campaign.schedules.late_seconds IS 'an occurrence that could not be launched within this time is skipped';
COMMENT ON COLUMN campaign.schedules.next_at IS 'the first occurrence that nobody has decided about; null: there is none any more';

CREATE TABLE campaign.schedule_occurrences (
    schedule_id bigint NOT NULL REFERENCES campaign.schedules ON DELETE CASCADE,
    at          timestamptz NOT NULL,
    outcome     text NOT NULL CONSTRAINT schedule_occurrences_outcome_check CHECK (outcome IN ('launched', 'skipped')),
    reason      text NOT NULL DEFAULT '',
    campaign_id bigint,
    decided_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schedule_occurrences_pkey PRIMARY KEY (schedule_id, at)
);
COMMENT ON TABLE campaign.schedule_occurrences IS 'what became of each moment of a schedule; inserted in the transaction that asks for its campaign, so no moment is launched twice';

-- The bytes of local header files: the provider forgets an upload after 30 days,
-- schedules and long campaigns need them for longer.
CREATE TABLE campaign.media_files (
    sha256       bytea NOT NULL,
    name         text NOT NULL,
    content_type text NOT NULL,
    content      bytea NOT NULL,
    used_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT media_files_pkey PRIMARY KEY (sha256)
);
ALTER TABLE campaign.media_files ALTER COLUMN content SET STORAGE EXTERNAL; -- images do not compress
-- A campaign keeps the id that it was planned with when the file is uploaded again
-- for another one.
ALTER TABLE campaign.media DROP CONSTRAINT media_pkey;
ALTER TABLE campaign.media ADD CONSTRAINT media_pkey PRIMARY KEY (channel_id, media_id);
CREATE INDEX media_sha256_idx ON campaign.media (sha256);
COMMENT ON COLUMN campaign.media_files.used_at IS 'forgotten 90 days after this, when no schedule and no open campaign needs it';

-- campaign.launch asks for a campaign inside the caller's transaction and gives its
-- number; after the commit a daemon plans and starts it. spec is a campaign file as
-- JSON. The same key with the same spec gives the same campaign, also from
-- concurrent transactions.
--
-- What only the daemon can judge (slots, columns, rates) ends the campaign as
-- cancelled, with a reason that "campaign status" shows.
CREATE FUNCTION campaign.launch(spec jsonb, idempotency_key text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    known    CONSTANT text[] := '{name,key,channel,template,audience,parameters,schedule,rate,on_unknown,us_marketing,us_territories,retry}';
    asked    campaign.launch_requests;
    the_hash text;
    the_name text;
    the_key  text;
    word     text;
    slot     text;
    source   jsonb;
    channel  bigint;
    audience jsonb;
    template jsonb;
    language text;
    made     bigint;
BEGIN
    IF idempotency_key IS NULL OR btrim(idempotency_key) = '' THEN
        RAISE EXCEPTION 'idempotency_key is empty' USING ERRCODE = '22023', DETAIL = 'field: idempotency_key',
            HINT = 'give what is the same when you ask again, such as the number of your order';
    ELSIF length(idempotency_key) > 200 THEN
        RAISE EXCEPTION 'idempotency_key is longer than 200 characters' USING ERRCODE = '22023', DETAIL = 'field: idempotency_key',
            HINT = 'give a shorter one, or a hash of it';
    ELSIF idempotency_key ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'idempotency_key contains a control character' USING ERRCODE = '22023', DETAIL = 'field: idempotency_key',
            HINT = 'give a text of one line';
    ELSIF spec IS NULL OR jsonb_typeof(spec) <> 'object' THEN
        RAISE EXCEPTION 'spec is not a JSON object' USING ERRCODE = '22023', DETAIL = 'field: spec',
            HINT = 'give a campaign file as JSON: {"name":…,"channel":…,"template":{"name":…,"language":…},"audience":{"list":…}}';
    END IF;

    -- The key first: what was asked for before is the same campaign, whatever became
    -- of its list since. A transaction under way with the same key is waited for.
    the_hash := encode(sha256(convert_to(spec::text, 'UTF8')), 'hex');
    INSERT INTO campaign.launch_requests AS r (source, caller, idempotency_key, document, document_hash, expires_at, due_at)
    VALUES ('sql', session_user, launch.idempotency_key, spec::text, the_hash, clock_timestamp() + interval '24 hours', clock_timestamp())
    ON CONFLICT ON CONSTRAINT launch_requests_key DO NOTHING
    RETURNING r.* INTO asked;
    IF NOT FOUND THEN
        SELECT r.* INTO STRICT asked FROM campaign.launch_requests AS r
         WHERE r.source = 'sql' AND r.caller = session_user AND r.idempotency_key = launch.idempotency_key;
        IF asked.document_hash <> the_hash THEN
            RAISE EXCEPTION 'idempotency_key % was used for another campaign', quote_literal(launch.idempotency_key)
                USING ERRCODE = '23505', DETAIL = format('campaign %s was asked for with another spec', asked.campaign_id),
                HINT = 'give another key, or the same spec';
        END IF;
        RETURN asked.campaign_id;
    END IF;

    SELECT k INTO word FROM jsonb_object_keys(spec) AS k WHERE k <> ALL (known) ORDER BY k LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'spec: unknown key %', quote_ident(word) USING ERRCODE = '22023', DETAIL = 'field: ' || word,
            HINT = 'known keys: ' || array_to_string(known, ', ');
    END IF;
    FOREACH word IN ARRAY ARRAY['name', 'channel'] LOOP
        IF COALESCE(jsonb_typeof(spec->word), 'null') <> 'string' OR btrim(spec->>word) = '' THEN
            RAISE EXCEPTION 'spec: % is missing', word USING ERRCODE = '22023', DETAIL = 'field: ' || word, HINT = 'give it a text';
        END IF;
    END LOOP;
    FOREACH word IN ARRAY ARRAY['template', 'audience'] LOOP
        IF COALESCE(jsonb_typeof(spec->word), 'null') <> 'object' THEN
            RAISE EXCEPTION 'spec: % is missing', word USING ERRCODE = '22023', DETAIL = 'field: ' || word,
                HINT = CASE word WHEN 'template' THEN '"template":{"name":"spring_sale","language":"en_US"}' ELSE '"audience":{"list":"vips"}' END;
        END IF;
    END LOOP;
    FOREACH word IN ARRAY ARRAY['parameters', 'schedule', 'retry'] LOOP
        IF COALESCE(jsonb_typeof(spec->word), 'object') <> 'object' THEN
            RAISE EXCEPTION 'spec: % is not an object', word USING ERRCODE = '22023', DETAIL = 'field: ' || word, HINT = 'give an object, or leave it out';
        END IF;
    END LOOP;

    the_name := btrim(spec->>'name');
    the_key := CASE WHEN spec ? 'key' THEN btrim(COALESCE(spec->>'key', '')) ELSE btrim(launch.idempotency_key) END;
    IF jsonb_typeof(spec->'key') NOT IN ('string', 'number') OR the_key = '' THEN
        RAISE EXCEPTION 'spec: key is empty' USING ERRCODE = '22023', DETAIL = 'field: key', HINT = 'give it a text, or leave it out: then it is idempotency_key';
    ELSIF length(the_name) > 200 OR length(the_key) > 200 OR the_name ~ '[[:cntrl:]]' OR the_key ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'spec: name and key are texts of one line and at most 200 characters' USING ERRCODE = '22023', DETAIL = 'field: name, key', HINT = 'shorten them';
    END IF;

    SELECT c.id INTO channel FROM campaign.channels AS c WHERE c.name = spec->>'channel';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'spec: there is no channel %', quote_literal(spec->>'channel') USING ERRCODE = 'P0002', DETAIL = 'field: channel',
            HINT = 'campaignctl channel list shows them';
    END IF;

    template := spec->'template';
    language := CASE jsonb_typeof(template->'language') WHEN 'string' THEN template->>'language' WHEN 'object' THEN template->'language'->>'default' END;
    IF COALESCE(jsonb_typeof(template->'name'), 'null') <> 'string' OR language IS NULL THEN
        RAISE EXCEPTION 'spec: template needs a name and a language' USING ERRCODE = '22023', DETAIL = 'field: template',
            HINT = '"template":{"name":"spring_sale","language":"en_US"}, or "language":{"from":"language","default":"en_US"}';
    END IF;
    PERFORM FROM campaign.templates AS t
      WHERE t.channel_id = channel AND t.name = template->>'name' AND t.status <> 'DELETED'
        AND lower(replace(t.language, '-', '_')) = lower(replace(language, '-', '_'));
    IF NOT FOUND THEN
        RAISE EXCEPTION 'spec: channel % has no template % in %', quote_literal(spec->>'channel'), quote_literal(template->>'name'), quote_literal(language)
            USING ERRCODE = 'P0002', DETAIL = 'field: template', HINT = 'campaignctl template sync fetches them, campaignctl template list shows them';
    END IF;

    audience := spec->'audience';
    IF audience ? 'file' THEN
        RAISE EXCEPTION 'spec: audience.file cannot be read from a database' USING ERRCODE = '0A000', DETAIL = 'field: audience.file',
            HINT = 'campaignctl contact import FILE --list NAME, and then "audience":{"list":"NAME"}';
    ELSIF COALESCE(jsonb_typeof(audience->'list'), 'null') <> 'string' OR (SELECT count(*) FROM jsonb_object_keys(audience)) > 1 THEN
        RAISE EXCEPTION 'spec: audience is not {"list": name}' USING ERRCODE = '22023', DETAIL = 'field: audience', HINT = '"audience":{"list":"vips"}';
    END IF;
    PERFORM FROM campaign.lists AS l WHERE l.name = audience->>'list';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'spec: there is no list %', quote_literal(audience->>'list') USING ERRCODE = 'P0002', DETAIL = 'field: audience.list',
            HINT = 'campaignctl list list shows them';
    END IF;

    FOR slot, source IN SELECT p.key, p.value FROM jsonb_each(COALESCE(spec->'parameters', '{}')) AS p LOOP
        IF jsonb_typeof(source) = 'object' AND EXISTS (
            SELECT FROM jsonb_each(source) AS m WHERE CASE WHEN jsonb_typeof(m.value) = 'object' THEN m.value ? 'file' ELSE false END) THEN
            RAISE EXCEPTION 'spec: parameters.%: a local file cannot be read from a database', slot USING ERRCODE = '0A000', DETAIL = 'field: parameters.' || slot,
                HINT = 'give {"link": "https://…"} or {"id": …}';
        ELSIF jsonb_typeof(source) IN ('array', 'null') THEN
            RAISE EXCEPTION 'spec: parameters.% has no value', slot USING ERRCODE = '22023', DETAIL = 'field: parameters.' || slot,
                HINT = 'a slot takes a text, {"column": …} or a medium such as {"image":{"link":"https://…"}}';
        END IF;
    END LOOP;
    IF spec->'schedule' ?| '{cron,end,late}' THEN
        RAISE EXCEPTION 'spec: schedule.cron belongs into a campaign file' USING ERRCODE = '0A000', DETAIL = 'field: schedule.cron',
            HINT = 'campaignctl campaign launch -f FILE makes a schedule; here each campaign is asked for';
    END IF;
    FOR word, slot IN VALUES ('on_unknown', 'hold,resend,fail'), ('us_marketing', 'skip,attempt'), ('us_territories', 'allow,skip') LOOP
        IF spec ? word AND COALESCE(spec->>word, '') <> ALL (string_to_array(slot, ',')) THEN
            RAISE EXCEPTION 'spec: % is none of %', word, replace(slot, ',', ', ') USING ERRCODE = '22023', DETAIL = 'field: ' || word, HINT = 'leave it out for ' || split_part(slot, ',', 1);
        END IF;
    END LOOP;

    INSERT INTO campaign.campaigns (name, key, channel_id, spec, spec_hash)
    VALUES (the_name, the_key, channel, jsonb_build_object('name', the_name, 'key', the_key, 'channel', spec->>'channel',
            'template', jsonb_build_object('name', template->>'name', 'language', language), 'audience', audience), '')
    ON CONFLICT ON CONSTRAINT campaigns_name_key DO NOTHING
    RETURNING campaigns.id INTO made;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'spec: campaign % with key % exists', quote_literal(the_name), quote_literal(the_key)
            USING ERRCODE = '23505', DETAIL = (SELECT format('campaign %s, which is %s', c.id, c.state) FROM campaign.campaigns AS c WHERE c.name = the_name AND c.key = the_key),
            HINT = 'it was not launched with this idempotency_key; give another name or key';
    END IF;
    UPDATE campaign.launch_requests AS r SET campaign_id = made WHERE r.id = asked.id;
    PERFORM pg_notify('campaign_launch', made::text);
    RETURN made;
END
$function$;
REVOKE ALL ON FUNCTION campaign.launch(jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION campaign.launch(jsonb, text) IS 'asks for a campaign, a campaign file as JSON, and gives its number; a daemon plans and starts it after the commit';

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
#variable_conflict use_variable
DECLARE
    known    CONSTANT text[] := '{name,key,channel,template,audience,parameters,schedule,rate,on_unknown,us_marketing,us_territories,opt_in,frequency_cap,retry}';
    asked    campaign.launch_requests;
    the_hash text;
    the_name text;
    the_key  text;
    word     text;
    source   jsonb;
    channel  bigint;
    audience jsonb;
    template jsonb;
    language text;
    made     bigint;
    -- What is wrong, if anything is: as in the errors of campaign.enqueue.
    code     text;
    field    text;
    problem  text;
    detail   text;
    remedy   text;
BEGIN
    <<checks>>
    BEGIN
        code := 'WA007';
        field := 'idempotency_key';
        problem := 'there is no usable idempotency key';
        remedy := 'give what names this campaign in your own records: a repeated call with it launches nothing twice';
        detail := CASE WHEN COALESCE(btrim(idempotency_key), '') = '' THEN 'it is empty'
                       WHEN length(idempotency_key) > 200 THEN 'it is longer than 200 characters'
                       WHEN idempotency_key ~ '[[:cntrl:]]' THEN 'it contains a control character' END;
        EXIT checks WHEN detail IS NOT NULL;

        field := 'spec';
        problem := 'the spec is not a campaign';
        remedy := 'give a campaign file as JSON: {"name":…,"channel":…,"template":{"name":…,"language":…},"audience":{"list":…}}';
        detail := CASE WHEN spec IS NULL OR jsonb_typeof(spec) <> 'object' THEN 'it is not a JSON object' END;
        EXIT checks WHEN detail IS NOT NULL;

        -- The key first: what was asked for before is the same campaign, whatever
        -- became of its list since. A transaction under way with the same key is
        -- waited for.
        the_hash := encode(sha256(convert_to(spec::text, 'UTF8')), 'hex');
        INSERT INTO campaign.launch_requests AS r (source, caller, idempotency_key, document, document_hash, expires_at, due_at)
        VALUES ('sql', session_user, idempotency_key, spec::text, the_hash, clock_timestamp() + interval '24 hours', clock_timestamp())
        ON CONFLICT ON CONSTRAINT launch_requests_key DO NOTHING
        RETURNING r.* INTO asked;
        IF NOT FOUND THEN
            SELECT r.* INTO STRICT asked FROM campaign.launch_requests AS r
             WHERE r.source = 'sql' AND r.caller = session_user COLLATE "default" AND r.idempotency_key = launch.idempotency_key;
            IF asked.document_hash = the_hash THEN
                RETURN asked.campaign_id;
            END IF;
            code := 'WA001';
            field := 'idempotency_key';
            problem := 'this idempotency key was used with another spec';
            detail := format('campaign %s was launched with it', asked.campaign_id);
            remedy := 'repeat the call with the spec it had, or give another campaign a key of its own';
            EXIT checks;
        END IF;

        problem := 'the spec has a key that is not known';
        SELECT k, 'it is not a key of a campaign file' INTO field, detail FROM jsonb_object_keys(spec) AS k WHERE k <> ALL (known) ORDER BY k LIMIT 1;
        remedy := 'one of ' || array_to_string(known, ', ');
        EXIT checks WHEN detail IS NOT NULL;

        FOREACH field IN ARRAY ARRAY['name', 'channel', 'template', 'audience'] LOOP
            problem := 'the spec lacks a key, or has it with another type';
            word := CASE WHEN field IN ('name', 'channel') THEN 'string' ELSE 'object' END;
            detail := CASE WHEN COALESCE(jsonb_typeof(spec->field), 'null') <> word OR btrim(spec->>field) = '' THEN 'it is missing, or no ' || word END;
            remedy := CASE field WHEN 'template' THEN 'such as {"name":"spring_sale","language":"en_US"}' WHEN 'audience' THEN 'such as {"list":"vips"}' ELSE 'give it a text' END;
            EXIT checks WHEN detail IS NOT NULL;
        END LOOP;
        FOREACH field IN ARRAY ARRAY['parameters', 'schedule', 'retry'] LOOP
            detail := CASE WHEN COALESCE(jsonb_typeof(spec->field), 'object') <> 'object' THEN 'it is no object' END;
            remedy := 'give an object, or leave it out';
            EXIT checks WHEN detail IS NOT NULL;
        END LOOP;

        the_name := btrim(spec->>'name');
        the_key := CASE WHEN spec ? 'key' THEN btrim(COALESCE(spec->>'key', '')) ELSE btrim(idempotency_key) END;
        problem := 'name or key cannot be used';
        field := 'key';
        remedy := 'give it a text, or leave it out: then it is the idempotency key';
        detail := CASE WHEN jsonb_typeof(spec->'key') NOT IN ('string', 'number') OR the_key = '' THEN 'it is no text' END;
        EXIT checks WHEN detail IS NOT NULL;
        FOREACH field IN ARRAY ARRAY['name', 'key'] LOOP
            word := CASE field WHEN 'name' THEN the_name ELSE the_key END;
            remedy := 'give a text of one line and at most 200 characters';
            detail := CASE WHEN length(word) > 200 THEN 'it is longer than 200 characters' WHEN word ~ '[[:cntrl:]]' THEN 'it contains a control character' END;
            EXIT checks WHEN detail IS NOT NULL;
        END LOOP;

        SELECT c.id INTO channel FROM campaign.channels AS c WHERE c.name = spec->>'channel';
        IF NOT FOUND THEN
            code := 'WA002';
            field := 'channel';
            problem := 'there is no such channel';
            detail := 'no channel has this name';
            remedy := COALESCE('one of ' || (SELECT string_agg(c.name, ', ' ORDER BY c.name) FROM campaign.channels AS c), 'campaignctl channel add makes one');
            EXIT checks;
        END IF;

        template := spec->'template';
        language := CASE jsonb_typeof(template->'language') WHEN 'string' THEN template->>'language' WHEN 'object' THEN template->'language'->>'default' END;
        field := 'template';
        problem := 'the template is not said in full';
        detail := CASE WHEN COALESCE(jsonb_typeof(template->'name'), 'null') <> 'string' OR language IS NULL THEN 'it needs a name and a language' END;
        remedy := 'such as {"name":"spring_sale","language":"en_US"}, or "language":{"from":"language","default":"en_US"}';
        EXIT checks WHEN detail IS NOT NULL;
        PERFORM FROM campaign.templates AS t
          WHERE t.channel_id = channel AND t.name = template->>'name' AND t.status <> 'DELETED'
            AND lower(replace(t.language, '-', '_')) = lower(replace(language, '-', '_'));
        IF NOT FOUND THEN
            code := 'WA003';
            problem := 'there is no such template';
            detail := 'no template of this channel has this name and language';
            remedy := 'campaignctl template sync fetches them, campaignctl template list shows them';
            EXIT checks;
        END IF;

        audience := spec->'audience';
        field := 'audience.file';
        problem := 'the audience is not a list';
        detail := CASE WHEN audience ? 'file' THEN 'a file cannot be read from a database' END;
        remedy := 'campaignctl contact import FILE --list NAME, and then {"list":"NAME"}';
        EXIT checks WHEN detail IS NOT NULL;
        field := 'audience';
        detail := CASE WHEN COALESCE(jsonb_typeof(audience->'list'), 'null') <> 'string' OR (SELECT count(*) FROM jsonb_object_keys(audience)) > 1
                       THEN 'it is not {"list": name}' END;
        remedy := 'such as {"list":"vips"}';
        EXIT checks WHEN detail IS NOT NULL;
        PERFORM FROM campaign.lists AS l WHERE l.name = audience->>'list';
        IF NOT FOUND THEN
            code := 'WA009';
            field := 'audience.list';
            problem := 'there is no such list';
            detail := 'no list has this name';
            remedy := 'campaignctl list list shows them';
            EXIT checks;
        END IF;

        code := 'WA006';
        problem := 'the parameters cannot be used';
        FOR word, source IN SELECT p.key, p.value FROM jsonb_each(COALESCE(spec->'parameters', '{}')) AS p LOOP
            field := 'parameters.' || word;
            remedy := 'give a text, {"column": …} or a medium such as {"image":{"link":"https://…"}}';
            detail := CASE WHEN jsonb_typeof(source) IN ('array', 'null') THEN 'it has no value'
                           WHEN jsonb_typeof(source) = 'object' AND EXISTS (SELECT FROM jsonb_each(source) AS m WHERE jsonb_typeof(m.value) = 'object' AND m.value->'file' IS NOT NULL)
                           THEN 'a local file cannot be read from a database' END;
            EXIT checks WHEN detail IS NOT NULL;
        END LOOP;

        code := 'WA007';
        problem := 'the schedule cannot be used';
        field := 'schedule.cron';
        detail := CASE WHEN spec->'schedule' ?| '{cron,end}' THEN 'schedules are made from campaign files' END;
        remedy := 'campaignctl campaign launch -f FILE makes a schedule; here each campaign is asked for';
        EXIT checks WHEN detail IS NOT NULL;
        problem := 'a word cannot be used';
        FOR field, remedy IN VALUES ('on_unknown', 'hold, resend, fail'), ('us_marketing', 'skip, attempt'), ('us_territories', 'allow, skip') LOOP
            detail := CASE WHEN spec ? field AND COALESCE(spec->>field, '') <> ALL (string_to_array(remedy, ', ')) THEN 'it is none of ' || remedy END;
            EXIT checks WHEN detail IS NOT NULL;
        END LOOP;

        INSERT INTO campaign.campaigns AS c (name, key, channel_id, spec, spec_hash)
        VALUES (the_name, the_key, channel, jsonb_build_object('name', the_name, 'key', the_key, 'channel', spec->>'channel',
                'template', jsonb_build_object('name', template->>'name', 'language', language), 'audience', audience), '')
        ON CONFLICT ON CONSTRAINT campaigns_name_key DO NOTHING
        RETURNING c.id INTO made;
        IF NOT FOUND THEN
            code := 'WA010';
            field := 'key';
            problem := 'a campaign of this name and key exists';
            SELECT format('campaign %s, which is %s; it was not launched with this idempotency key', c.id, c.state) INTO detail
              FROM campaign.campaigns AS c WHERE c.name = the_name AND c.key = the_key;
            remedy := 'give another name or key';
            EXIT checks;
        END IF;
        UPDATE campaign.launch_requests AS r SET campaign_id = made WHERE r.id = asked.id;
        PERFORM pg_notify('campaign_launch', made::text);
        RETURN made;
    END;
    RAISE EXCEPTION USING ERRCODE = code, COLUMN = field, MESSAGE = problem, DETAIL = field || ': ' || detail, HINT = field || ': ' || remedy;
END
$function$;
REVOKE ALL ON FUNCTION campaign.launch(jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION campaign.launch(jsonb, text) IS 'asks for a campaign, a campaign file as JSON, and gives its number; a daemon plans and starts it after the commit';

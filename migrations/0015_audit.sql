-- Who did what, when and why. Written in the transaction of the act, never
-- changed afterwards. It holds no number, parameter or key: what an act was about
-- is named by its own id or name, people are counted.
CREATE TABLE campaign.audit (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    database_user text NOT NULL DEFAULT session_user,
    os_user       text NOT NULL DEFAULT '',
    host          text NOT NULL DEFAULT '',
    program       text NOT NULL DEFAULT '',
    action        text NOT NULL CONSTRAINT audit_action_check CHECK (action ~ '^[a-z][a-z0-9 _-]*$'),
    object        text NOT NULL DEFAULT '',
    object_id     bigint NOT NULL DEFAULT 0,
    name          text NOT NULL DEFAULT '',
    detail        text NOT NULL DEFAULT '',
    campaign_id   bigint NOT NULL DEFAULT 0,
    reason        text NOT NULL DEFAULT '',
    plan_hash     text NOT NULL DEFAULT '',
    count         bigint NOT NULL DEFAULT 0
);
CREATE INDEX audit_campaign_id_idx ON campaign.audit (campaign_id) WHERE campaign_id > 0;
COMMENT ON COLUMN campaign.audit.database_user IS 'set by the database, as at is; os_user, host and program are what the program said of itself';
COMMENT ON COLUMN campaign.audit.object IS 'what kind of thing the act was about: campaign, channel, message, people, schedule …';
COMMENT ON COLUMN campaign.audit.name IS 'of the thing, where it has one that names no person';
COMMENT ON COLUMN campaign.audit.detail IS 'what exactly: resend or fail, an error code, countries, whom the daemon did it for';
COMMENT ON COLUMN campaign.audit.count IS 'of the messages, people or whatever else the act changed';

CREATE FUNCTION campaign.audit_stamp() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.at := clock_timestamp();
    NEW.database_user := session_user;
    RETURN NEW;
END $$;
CREATE FUNCTION campaign.audit_refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'the audit is only ever added to' USING ERRCODE = '42501', HINT = 'note a correction as a row of its own';
END $$;
CREATE TRIGGER audit_stamp BEFORE INSERT ON campaign.audit FOR EACH ROW EXECUTE FUNCTION campaign.audit_stamp();
CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON campaign.audit FOR EACH STATEMENT EXECUTE FUNCTION campaign.audit_refuse();
REVOKE ALL ON FUNCTION campaign.audit_stamp(), campaign.audit_refuse() FROM PUBLIC;

-- What is sent, and what stops it.

CREATE TABLE campaign.campaigns (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL CONSTRAINT campaigns_name_check CHECK (name <> ''),
    key         text NOT NULL DEFAULT '',
    channel_id  bigint NOT NULL REFERENCES campaign.channels,
    list_id     bigint REFERENCES campaign.lists ON DELETE SET NULL,
    state       text NOT NULL DEFAULT 'draft'
                CONSTRAINT campaigns_state_check CHECK (state IN ('draft', 'scheduled', 'running', 'completed', 'cancelled')),
    spec        jsonb NOT NULL,
    spec_hash   text NOT NULL,
    plan_hash   text NOT NULL DEFAULT '',
    rate        double precision NOT NULL DEFAULT 0 CONSTRAINT campaigns_rate_check CHECK (rate >= 0),
    constants   jsonb NOT NULL DEFAULT '{}',
    template_ids bigint[] NOT NULL DEFAULT '{}',
    total       bigint NOT NULL DEFAULT 0,
    eligible    bigint NOT NULL DEFAULT 0,
    first_id    bigint NOT NULL DEFAULT 0,
    last_id     bigint NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT now(),
    starts_at   timestamptz,
    not_after   timestamptz,
    started_at  timestamptz,
    finished_at timestamptz,
    credit_at   timestamptz,
    CONSTRAINT campaigns_name_key UNIQUE (name, key)
);
-- What a daemon has to look at: few rows, whatever the history.
CREATE INDEX campaigns_open_idx ON campaign.campaigns (state) WHERE state IN ('scheduled', 'running');
COMMENT ON COLUMN campaign.campaigns.constants IS 'parameters that are the same for every recipient; a message holds only its own';
COMMENT ON COLUMN campaign.campaigns.template_ids IS 'the languages of the template that the plan uses: what a hold on a template stops, found without the messages';
COMMENT ON COLUMN campaign.campaigns.first_id IS 'the least message id; every statement over a campaign passes first_id and last_id so that partitions are dropped';
COMMENT ON COLUMN campaign.campaigns.credit_at IS 'up to when the campaign''s own rate has been spent by fan-out';

CREATE TABLE campaign.holds (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope      text NOT NULL CONSTRAINT holds_scope_check CHECK (scope IN ('campaign', 'template', 'channel', 'account')),
    scope_id   bigint NOT NULL,
    source     text NOT NULL,
    reason     text NOT NULL,
    until      timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT holds_key UNIQUE (scope, scope_id, source)
);
COMMENT ON TABLE campaign.holds IS 'why a scope does not send; each source lifts only its own, a person can lift any. Template ids are per channel and language.';
COMMENT ON COLUMN campaign.campaigns.state IS 'paused is not stored: it is shown while a hold stands on one of the campaign''s scopes';

-- Who sends: the deployment, accounts, channels, their templates and uploaded media.

CREATE TABLE campaign.settings (
    key   text PRIMARY KEY,
    value text NOT NULL
);
COMMENT ON TABLE campaign.settings IS 'deployment: the first part of every biz_opaque_callback_data, so that another installation''s events are told apart';
INSERT INTO campaign.settings (key, value)
VALUES ('deployment', substr(replace(gen_random_uuid()::text, '-', ''), 1, 12));

CREATE TABLE campaign.accounts (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL CONSTRAINT accounts_name_key UNIQUE,
    waba_id    text,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE campaign.accounts IS 'the WhatsApp business accounts (WABA) that channels share';

CREATE TABLE campaign.channels (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name               text NOT NULL CONSTRAINT channels_name_key UNIQUE
                       CONSTRAINT channels_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    phone              text NOT NULL CONSTRAINT channels_phone_key UNIQUE,
    base_url           text NOT NULL,
    dialect            text NOT NULL DEFAULT 'cloud' CONSTRAINT channels_dialect_check CHECK (dialect IN ('cloud', 'sandbox')),
    key_ref            text NOT NULL CONSTRAINT channels_key_ref_check CHECK (key_ref ~ '^(env|file):.+'),
    webhook_secret_ref text NOT NULL CONSTRAINT channels_webhook_secret_ref_check CHECK (webhook_secret_ref ~ '^(env|file):.+'),
    webhook_url        text,
    rate               double precision NOT NULL DEFAULT 0 CONSTRAINT channels_rate_check CHECK (rate >= 0),
    account_id         bigint NOT NULL REFERENCES campaign.accounts,
    on_unknown         text NOT NULL DEFAULT 'hold' CONSTRAINT channels_on_unknown_check CHECK (on_unknown IN ('hold', 'resend', 'fail')),
    quality            text NOT NULL DEFAULT '',
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX channels_webhook_url_key ON campaign.channels (webhook_url) WHERE webhook_url IS NOT NULL;
COMMENT ON COLUMN campaign.channels.key_ref IS 'env:NAME or file:PATH; the key itself is never in the database';

CREATE TABLE campaign.templates (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id  bigint NOT NULL REFERENCES campaign.channels,
    provider_id text NOT NULL DEFAULT '',
    name        text NOT NULL,
    language    text NOT NULL,
    status      text NOT NULL,
    category    text NOT NULL,
    format      text NOT NULL,
    quality     text NOT NULL DEFAULT '',
    sendable    boolean NOT NULL,
    problems    text[] NOT NULL DEFAULT '{}',
    slots       jsonb NOT NULL,
    parts       jsonb NOT NULL,
    components  jsonb NOT NULL,
    synced_at   timestamptz NOT NULL DEFAULT now(),
    changed_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT templates_key UNIQUE (channel_id, name, language)
);
COMMENT ON COLUMN campaign.templates.changed_at IS 'when the slots last changed: a plan that is older was made for another template';
COMMENT ON COLUMN campaign.templates.components IS 'the provider''s JSON of the whole template; slots and parts were derived from it';

CREATE TABLE campaign.media (
    channel_id bigint NOT NULL REFERENCES campaign.channels,
    sha256     bytea NOT NULL,
    media_id   text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (channel_id, sha256)
);
COMMENT ON TABLE campaign.media IS 'local header files that were uploaded: once per channel, refreshed before the provider forgets them (30 days)';

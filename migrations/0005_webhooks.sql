-- What the provider told us, as it was told. A body is stored before it is
-- answered with 200 and applied afterwards; what was stored and not applied is
-- found by applied_at.

CREATE TABLE campaign.webhooks (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id  bigint NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    applied_at  timestamptz,
    problem     text,
    body        bytea NOT NULL
);
CREATE INDEX webhooks_unapplied_idx ON campaign.webhooks (id) WHERE applied_at IS NULL;
CREATE INDEX webhooks_received_at_idx ON campaign.webhooks USING brin (received_at);

-- Statuses without an opaque id whose provider id matched nothing yet: tried
-- again for an hour, because a status may come before the answer of its send is
-- stored.
CREATE TABLE campaign.unmatched_statuses (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id  bigint NOT NULL,
    provider_id text NOT NULL,
    status      text NOT NULL,
    code        integer NOT NULL DEFAULT 0,
    at          timestamptz,
    received_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE campaign.replies (
    channel_id  bigint NOT NULL,
    provider_id text NOT NULL,
    message_id  bigint NOT NULL DEFAULT 0,
    campaign_id bigint NOT NULL DEFAULT 0,
    contact_id  bigint NOT NULL DEFAULT 0,
    type        text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (channel_id, provider_id)
);
CREATE INDEX replies_campaign_id_idx ON campaign.replies (campaign_id) WHERE campaign_id > 0;
COMMENT ON TABLE campaign.replies IS 'inbound messages and the message they answer; their texts stay in the webhook bodies only';

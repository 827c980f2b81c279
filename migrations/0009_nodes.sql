-- The running daemons, and what they decide together about a channel's speed.

CREATE TABLE campaign.nodes (
    name       text PRIMARY KEY,
    host       text NOT NULL,
    pid        integer NOT NULL,
    version    text NOT NULL,
    roles      text[] NOT NULL,
    listen     text NOT NULL,
    channels   bigint[] NOT NULL DEFAULT '{}',
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE campaign.nodes IS 'the daemons: each writes its row every few seconds and deletes it at a clean stop; one that is old is lost, and forgotten after a day';
COMMENT ON COLUMN campaign.nodes.name IS 'also the id of its River client and the node of its shares';
COMMENT ON COLUMN campaign.nodes.channels IS 'the channels that it sends for';

CREATE TABLE campaign.channel_slowdowns (
    channel_id bigint CONSTRAINT channel_slowdowns_pkey PRIMARY KEY REFERENCES campaign.channels ON DELETE CASCADE,
    rate       double precision NOT NULL CONSTRAINT channel_slowdowns_rate_check CHECK (rate >= 0),
    refused    double precision NOT NULL,
    cut_at     timestamptz NOT NULL,
    quiet_at   timestamptz NOT NULL
);
COMMENT ON TABLE campaign.channel_slowdowns IS 'the provider asked us to send slower: for all nodes together, applied when they renew their shares';
COMMENT ON COLUMN campaign.channel_slowdowns.rate IS 'messages per second at the last change; 0: it has recovered. It grows by 10 % for every 10 s since quiet_at';
COMMENT ON COLUMN campaign.channel_slowdowns.refused IS 'the rate before the last cut';
COMMENT ON COLUMN campaign.channel_slowdowns.cut_at IS 'only answers to POSTs begun later cut again';

ALTER TABLE campaign.channel_shares ADD COLUMN sent double precision NOT NULL DEFAULT 0;
COMMENT ON COLUMN campaign.channel_shares.sent IS 'messages per second that the node posted just before it renewed: what a slow-down of a channel without a limit starts from';
COMMENT ON COLUMN campaign.channel_shares.share IS 'messages per second; Infinity on a channel without a limit';

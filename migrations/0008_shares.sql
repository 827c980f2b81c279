-- A channel's rate, divided among the nodes that send on it. A share is leased:
-- whoever stops renewing it loses it when the lease ends.
CREATE TABLE campaign.channel_shares (
    channel_id bigint NOT NULL,
    node       text NOT NULL,
    share      double precision NOT NULL,
    counted    double precision NOT NULL,
    weight     double precision NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (channel_id, node)
);
COMMENT ON COLUMN campaign.channel_shares.counted IS 'what the node may be using: its new share, or the former, larger one until it says that it goes slower';

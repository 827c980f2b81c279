-- What settles messages of unknown fate, paces a campaign whose messages are
-- held, and tells a restored database from the one we knew.

ALTER TABLE campaign.channels ADD COLUMN webhooks_since timestamptz;
COMMENT ON COLUMN campaign.channels.webhooks_since IS 'the first webhook after the daemon''s start: before it, silence about a message means nothing';

ALTER TABLE campaign.campaigns ADD COLUMN held_at timestamptz, ADD COLUMN released_at timestamptz;
COMMENT ON COLUMN campaign.campaigns.held_at IS 'the first message that the provider held for quality assessment';
COMMENT ON COLUMN campaign.campaigns.released_at IS 'the first held message that was released; between the two fan-out goes at 1/s';

INSERT INTO campaign.settings (key, value) VALUES ('unknown_grace_seconds', '900');
COMMENT ON TABLE campaign.settings IS 'deployment: the first part of every biz_opaque_callback_data, so that another installation''s events are told apart. unknown_grace_seconds: how long a webhook may still settle an unknown message. system_identifier, timeline: of the server that held this database last';

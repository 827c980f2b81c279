-- Keeps what the provider's wish to slow down left of a channel's rate; the
-- caller holds the channel's share lock.
INSERT INTO campaign.channel_slowdowns (channel_id, rate, refused, cut_at, quiet_at)
VALUES (@channel, @rate, @refused, @cut_at, @quiet_at)
ON CONFLICT (channel_id) DO UPDATE
   SET rate = excluded.rate, refused = excluded.refused, cut_at = excluded.cut_at, quiet_at = excluded.quiet_at

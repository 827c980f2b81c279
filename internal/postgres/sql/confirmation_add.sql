-- A stop that was news, on a channel that has a text, and told in time.
INSERT INTO campaign.confirmations (channel_id, contact_id, stop_hash, stopped_at)
SELECT t.channel_id, @contact, @stop, least(@at::timestamptz, clock_timestamp())
  FROM campaign.confirmation_texts AS t
 WHERE t.channel_id = @channel AND @at::timestamptz > clock_timestamp() - make_interval(secs => @life)
ON CONFLICT (channel_id, stop_hash) DO NOTHING

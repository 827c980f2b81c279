-- The window of a channel and a person: 24 hours from the last message, by the
-- clock of the provider, never later than ours. It says whether it opened with
-- this message, and is open.
WITH moment AS (SELECT least(COALESCE(@at::timestamptz, clock_timestamp()), clock_timestamp()) AS at)
INSERT INTO campaign.service_windows AS w (match_key, channel_id, opened_at, last_at)
SELECT @match_key, @channel, at, at FROM moment
ON CONFLICT (match_key, channel_id) DO UPDATE
   SET opened_at = CASE WHEN excluded.last_at > w.last_at + interval '24 hours' THEN excluded.last_at ELSE w.opened_at END,
       last_at   = greatest(w.last_at, excluded.last_at)
RETURNING opened_at = last_at AND last_at > clock_timestamp() - interval '24 hours'

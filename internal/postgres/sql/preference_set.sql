-- Notes what WhatsApp tells of a person and a channel. It says whether that is news:
-- a repeated or older choice is not, and a stop wins over a resume of the same second.
WITH moment AS (SELECT least(COALESCE(@at::timestamptz, clock_timestamp()), clock_timestamp()) AS at)
INSERT INTO campaign.marketing_preferences AS p (match_key, channel_id, stopped, at)
SELECT @match_key, @channel, @stopped, at FROM moment
ON CONFLICT (match_key, channel_id) DO UPDATE
   SET stopped = excluded.stopped, at = excluded.at
 WHERE p.at < excluded.at OR p.at = excluded.at AND excluded.stopped AND NOT p.stopped

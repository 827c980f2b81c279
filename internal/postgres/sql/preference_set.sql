-- Notes what WhatsApp tells of a person and a channel. It says whether that is news:
-- a repeated or older choice is not, and a stop wins over a resume of the same
-- second. A stop that is older than what the person said since is none.
WITH moment AS (SELECT least(COALESCE(@at::timestamptz, clock_timestamp()), clock_timestamp()) AS at)
INSERT INTO campaign.marketing_preferences AS p (match_key, channel_id, at, stopped)
SELECT @match_key, @channel, at,
       @stopped AND NOT EXISTS (SELECT FROM campaign.contacts AS c WHERE c.match_key = @match_key AND date_trunc('second', c.consent_at) > at)
  FROM moment
ON CONFLICT (match_key, channel_id) DO UPDATE
   SET stopped = excluded.stopped, at = excluded.at
 WHERE p.at < excluded.at OR p.at = excluded.at AND excluded.stopped AND NOT p.stopped

-- Renews a node's share of a channel's rate; the caller holds the channel's share
-- lock. The sum of what unexpired leases may be using never passes the rate: a
-- node that is to go slower counts at its former share until it confirms the new
-- one with its next renewal, or its lease ends.
WITH gone AS (
  DELETE FROM campaign.channel_shares WHERE channel_id = @channel AND expires_at <= clock_timestamp()),
others AS (
  SELECT COALESCE(sum(counted), 0) AS counted, COALESCE(sum(weight), 0) AS weight
    FROM campaign.channel_shares
   WHERE channel_id = @channel AND node <> @node AND expires_at > clock_timestamp()),
offer AS (
  SELECT greatest(least(@rate::double precision * @weight::double precision / (@weight::double precision + o.weight),
                        @rate::double precision - o.counted), 0) AS share
    FROM others AS o)
INSERT INTO campaign.channel_shares AS s (channel_id, node, share, counted, weight, expires_at)
SELECT @channel, @node, o.share, greatest(o.share, @confirmed::double precision), @weight, clock_timestamp() + make_interval(secs => @seconds)
  FROM offer AS o
ON CONFLICT (channel_id, node) DO UPDATE
   SET share = excluded.share, counted = excluded.counted, weight = excluded.weight, expires_at = excluded.expires_at
RETURNING share

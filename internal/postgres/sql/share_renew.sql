-- Renews a node's share of a channel's rate; the caller holds the channel's share
-- lock. A rate of Infinity is no limit.
--
-- The sum of what unexpired leases may be using never passes the rate: a node
-- that is to go slower counts at its former share until it confirms the new one
-- with its next renewal, or its lease ends. After the rate fell, what is used can
-- only fall: nobody is given more than it had before the sum fits, and everybody
-- may keep what it had up to its fair part, or all would stand still meanwhile.
--
-- Fair is by weight. But weights change with every renewal, and a share that
-- moves is used by nobody for the two renewals of the move: who has more than
-- its part keeps it until somebody has less than four fifths of his.
WITH gone AS (
  DELETE FROM campaign.channel_shares WHERE channel_id = @channel AND node <> @node AND expires_at <= @now),
others AS (
  SELECT share, counted, weight FROM campaign.channel_shares
   WHERE channel_id = @channel AND node <> @node AND expires_at > @now),
total AS (
  SELECT COALESCE(sum(counted), 0) AS counted, @weight::double precision + COALESCE(sum(weight), 0) AS weight FROM others),
mine AS (
  SELECT @rate::double precision * @weight::double precision / t.weight AS fair,
         @rate::double precision - t.counted AS rest,
         COALESCE((SELECT least(s.counted, @using::double precision) FROM campaign.channel_shares AS s
                    WHERE s.channel_id = @channel AND s.node = @node AND s.expires_at > @now), 0) AS kept,
         EXISTS (SELECT FROM others AS o WHERE o.share < 0.8 * @rate::double precision * o.weight / t.weight) AS short
    FROM total AS t),
offer AS (
  SELECT greatest(0, least(m.kept, m.fair), least(m.rest, CASE WHEN m.short THEN m.fair ELSE greatest(m.kept, m.fair) END)) AS share
    FROM mine AS m)
INSERT INTO campaign.channel_shares AS s (channel_id, node, share, counted, weight, sent, expires_at)
SELECT @channel, @node, o.share,
       CASE WHEN o.share = 'Infinity' THEN @using::double precision ELSE greatest(o.share, @using::double precision) END,
       @weight, @sent, clock_timestamp() + make_interval(secs => @seconds)
  FROM offer AS o
ON CONFLICT (channel_id, node) DO UPDATE
   SET share = excluded.share, counted = excluded.counted, weight = excluded.weight, sent = excluded.sent, expires_at = excluded.expires_at
RETURNING share

-- A node's heartbeat. Also forgets who was silent for a day; a node that was
-- suspended for longer comes back as what it was.
WITH forgotten AS (
  DELETE FROM campaign.nodes WHERE name <> @name AND seen_at < clock_timestamp() - interval '1 day')
INSERT INTO campaign.nodes AS n (name, host, pid, version, roles, listen, channels, started_at, seen_at)
VALUES (@name, @host, @pid, @version, @roles, @listen, @channels, clock_timestamp() - make_interval(secs => @up), clock_timestamp())
ON CONFLICT (name) DO UPDATE SET channels = excluded.channels, seen_at = excluded.seen_at

-- The installation at a moment, as (kind, channel, label, source, n) rows: one
-- statement, so that the numbers belong together. It is read at every scrape, so
-- nothing here may grow with the history of messages: the counters have a row
-- per campaign and state, river_job is read by its index on the state, the rest
-- are probes. Drafts are left out of the messages: nobody has ordered them.
WITH standing AS MATERIALIZED (
  SELECT scope, scope_id, source FROM campaign.holds WHERE until IS NULL OR until > clock_timestamp()),
channel AS MATERIALIZED (
  SELECT c.id, c.name, c.rate,
         EXISTS (SELECT FROM standing AS h
                  WHERE h.scope = 'channel' AND h.scope_id = c.id OR h.scope = 'account' AND h.scope_id = c.account_id) AS held
    FROM campaign.channels AS c),
shown AS (
  SELECT c.id, c.channel_id, c.first_id, c.last_id,
         CASE WHEN c.state IN ('scheduled', 'running')
               AND (ch.held OR EXISTS (SELECT FROM standing AS h
                                        WHERE h.scope = 'campaign' AND h.scope_id = c.id
                                           OR h.scope = 'template' AND h.scope_id = ANY(c.template_ids)))
              THEN 'paused' ELSE c.state END AS state
    FROM campaign.campaigns AS c
    JOIN channel AS ch ON ch.id = c.channel_id),
-- The first due message of every campaign that may send, one probe of
-- messages_due_idx each, and those of no campaign among the first thousand.
due AS (
  SELECT s.channel_id, first.due_at
    FROM shown AS s
    CROSS JOIN LATERAL (
         SELECT m.due_at FROM campaign.messages AS m
          WHERE m.campaign_id = s.id AND m.due_at <= now() AND m.id BETWEEN s.first_id AND s.last_id
          ORDER BY m.due_at LIMIT 1) AS first
   WHERE s.state = 'running'
  UNION ALL
  SELECT m.channel_id, m.due_at
    FROM (SELECT channel_id, template_id, due_at FROM campaign.messages
           WHERE campaign_id = 0 AND due_at <= now() AND id BETWEEN 1 AND (SELECT last_value FROM campaign.message_ids)
           ORDER BY due_at LIMIT 1000) AS m
    JOIN channel AS ch ON ch.id = m.channel_id AND NOT ch.held
   WHERE NOT EXISTS (SELECT FROM standing AS h WHERE h.scope = 'template' AND h.scope_id = m.template_id)),
inbox AS (
  SELECT received_at FROM campaign.webhooks WHERE applied_at IS NULL ORDER BY id LIMIT @most)
SELECT 'messages' AS kind, ch.name AS channel, t.state AS label, '' AS source, sum(t.n)::double precision AS n
  FROM campaign.message_totals AS t
  JOIN channel AS ch ON ch.id = t.channel_id
 WHERE NOT EXISTS (SELECT FROM campaign.campaigns AS c WHERE c.id = t.campaign_id AND c.state = 'draft')
 GROUP BY ch.name, t.state
UNION ALL
SELECT 'campaigns', '', state, '', count(*) FROM shown GROUP BY state
UNION ALL
SELECT 'holds', '', scope, source, count(*) FROM standing GROUP BY scope, source
UNION ALL
SELECT 'channel', name, '', '', held::int FROM channel
UNION ALL
SELECT 'nodes', '', CASE WHEN seen_at > clock_timestamp() - make_interval(secs => @lost) THEN 'running' ELSE 'lost' END, '', count(*)
  FROM campaign.nodes GROUP BY 3
UNION ALL
SELECT 'limit', name, '', '', rate FROM channel
UNION ALL
SELECT 'slowdown', ch.name, part.name, '', part.n
  FROM campaign.channel_slowdowns AS w
  JOIN channel AS ch ON ch.id = w.channel_id
  CROSS JOIN LATERAL (VALUES ('rate', w.rate), ('refused', w.refused),
                             ('quiet', extract(epoch FROM clock_timestamp() - w.quiet_at)::double precision)) AS part(name, n)
UNION ALL
SELECT 'jobs', ch.name, j.state::text, '', count(*)
  FROM river.river_job AS j
  JOIN channel AS ch ON j.queue IN ('ch_' || ch.id, 'ch_' || ch.id || '_high')
 WHERE j.state IN ('available', 'running', 'retryable', 'scheduled', 'pending')
 GROUP BY ch.name, j.state
UNION ALL
SELECT 'leased', ch.name, '', '', sum(s.counted)
  FROM campaign.channel_shares AS s JOIN channel AS ch ON ch.id = s.channel_id WHERE s.expires_at > clock_timestamp() GROUP BY ch.name
UNION ALL
SELECT 'leases', ch.name, '', '', count(*)
  FROM campaign.channel_shares AS s JOIN channel AS ch ON ch.id = s.channel_id WHERE s.expires_at > clock_timestamp() GROUP BY ch.name
UNION ALL
SELECT 'due', ch.name, '', '', extract(epoch FROM now() - min(d.due_at))
  FROM due AS d JOIN channel AS ch ON ch.id = d.channel_id GROUP BY ch.name
UNION ALL
SELECT 'unapplied', '', '', '', count(*) FROM inbox
UNION ALL
SELECT 'oldest', '', '', '', COALESCE(greatest(extract(epoch FROM clock_timestamp() - min(received_at)), 0), 0) FROM inbox
UNION ALL
SELECT 'unmatched', '', '', '', count(*) FROM campaign.unmatched_statuses

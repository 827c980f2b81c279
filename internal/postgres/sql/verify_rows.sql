-- Combinations that the status machine never writes.
WITH ids AS (
  SELECT COALESCE((SELECT first_id FROM campaign.campaigns WHERE id = @campaign), 0) AS least,
         COALESCE((SELECT last_id FROM campaign.campaigns WHERE id = @campaign), (SELECT last_value FROM campaign.message_ids)) AS greatest),
odd AS (
  SELECT m.id, m.campaign_id,
         CASE
           WHEN m.state IN ('pending', 'deferred') AND m.due_at IS NULL THEN 'waits and is due never'
           WHEN m.state NOT IN ('pending', 'deferred') AND m.due_at IS NOT NULL THEN 'is ' || m.state || ' and due all the same'
           WHEN m.state = 'sending' AND (m.claim_id IS NULL OR m.claimed_at IS NULL OR m.posted <> m.attempt) THEN 'is sending without a claim'
           WHEN m.state IN ('pending', 'skipped', 'cancelled') AND m.posts > 0 THEN 'is ' || m.state || ' and was posted'
           WHEN m.state IN ('sending', 'unknown', 'accepted', 'held', 'sent', 'delivered', 'read') AND m.posts = 0 THEN 'is ' || m.state || ' and was never posted'
           WHEN m.posts > m.attempt OR m.posted > m.attempt THEN 'was posted more often than it had turns'
           WHEN m.state IN ('accepted', 'held') AND m.proof <> 1 OR m.state = 'sent' AND m.proof <> 2
             OR m.state = 'delivered' AND m.proof <> 4 OR m.state = 'read' AND m.proof <> 5
             OR m.state IN ('unknown', 'sending') AND m.proof <> 0 THEN 'is ' || m.state || ' with proof ' || m.proof
           WHEN m.state = 'skipped' AND m.reason = '' THEN 'is skipped and does not say why'
           WHEN m.state = 'failed' AND m.error_code = '' THEN 'failed and does not say why'
           WHEN c.state = 'completed' AND m.state IN ('pending', 'queued', 'sending', 'deferred') THEN 'is ' || m.state || ' in a completed campaign'
           WHEN c.state = 'cancelled' AND m.state IN ('pending', 'queued', 'deferred') THEN 'is ' || m.state || ' in a cancelled campaign (a daemon sweeps it)'
         END AS what
    FROM ids, campaign.messages AS m
    LEFT JOIN campaign.campaigns AS c ON c.id = m.campaign_id
   WHERE m.id BETWEEN ids.least AND ids.greatest AND (@campaign = 0 OR m.campaign_id = @campaign))
SELECT 'state', campaign_id, format('%s %s', CASE WHEN count(*) = 1 THEN 'a message' ELSE 'messages:' END, what), count(*), (array_agg(id ORDER BY id))[1:10]
  FROM odd
 WHERE what IS NOT NULL
 GROUP BY campaign_id, what
 ORDER BY campaign_id, what

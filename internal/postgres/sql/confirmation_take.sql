-- Claims the next confirmation of a channel that nothing holds, or drops it with a
-- reason. The stop opened the service window, so that whoever stopped a few
-- minutes ago is inside it. The hashes are those of facts_people.sql; an
-- opt-out that only a hash tells came before this stop.
WITH next AS (
  SELECT f.id, c.phone, COALESCE(t.body, '') AS body,
         CASE WHEN t.body IS NULL THEN 'no_text'
              WHEN c.opted_out_at IS NULL THEN 'started_again'
              WHEN EXISTS (SELECT FROM campaign.suppressed_countries AS b WHERE b.country = c.country) THEN 'country_blocked'
              WHEN EXISTS (SELECT FROM campaign.suppressions AS x
                            WHERE x.hash IN (sha256(@outer::bytea || sha256(@inner::bytea || convert_to(c.match_key, 'UTF8'))),
                                             sha256(@outer::bytea || sha256(@inner::bytea || convert_to(c.user_id, 'UTF8'))))) THEN 'suppressed'
              ELSE '' END AS obstacle
    FROM campaign.confirmations AS f
    JOIN campaign.contacts AS c ON c.id = f.contact_id
    LEFT JOIN campaign.confirmation_texts AS t ON t.channel_id = f.channel_id
   WHERE f.channel_id = @channel AND f.state = 'waiting' AND f.due_at <= clock_timestamp()
     AND f.stopped_at > clock_timestamp() - make_interval(secs => @life)
     AND NOT EXISTS (SELECT FROM campaign.holds AS h
                      WHERE (h.until IS NULL OR h.until > clock_timestamp())
                        AND (h.scope = 'channel' AND h.scope_id = f.channel_id
                             OR h.scope = 'account' AND h.scope_id = (SELECT account_id FROM campaign.channels WHERE id = f.channel_id)))
   ORDER BY f.due_at, f.id
   LIMIT 1
     FOR UPDATE OF f SKIP LOCKED)
UPDATE campaign.confirmations AS f
   SET state      = CASE WHEN next.obstacle = '' THEN 'sending' ELSE 'dropped' END,
       tries      = CASE WHEN next.obstacle = '' THEN f.tries + 1 ELSE f.tries END,
       claimed_at = CASE WHEN next.obstacle = '' THEN clock_timestamp() END,
       ended_at   = CASE WHEN next.obstacle = '' THEN NULL ELSE clock_timestamp() END,
       reason     = next.obstacle
  FROM next
 WHERE f.id = next.id
RETURNING f.id, f.tries, next.phone, next.body, next.obstacle

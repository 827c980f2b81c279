-- Business-scoped user ids that reports of our messages, or what somebody wrote,
-- tell: by them an opt-out without a number finds its person. Nothing is written
-- for those who are known, and who is locked is told of again. An id changes: an
-- opt-out that was kept by the former or the new one becomes the contact's.
WITH told AS (
  SELECT DISTINCT ON (contact_id) contact_id, user_id
    FROM (SELECT m.contact_id, u.user_id
            FROM unnest(@messages::bigint[], @user_ids::text[]) AS u(message_id, user_id)
            JOIN campaign.messages AS m ON m.id = u.message_id AND m.id BETWEEN @least AND @greatest
           WHERE m.channel_id = @channel AND m.contact_id > 0
           UNION ALL
          SELECT c.id, @user_id FROM campaign.contacts AS c WHERE @match_key::text <> '' AND c.match_key = @match_key) AS t
   ORDER BY contact_id, user_id),
fresh AS (
  SELECT c.id, t.user_id, c.user_id AS former
    FROM told AS t
    JOIN campaign.contacts AS c ON c.id = t.contact_id AND c.user_id IS DISTINCT FROM t.user_id
   ORDER BY c.id FOR NO KEY UPDATE OF c SKIP LOCKED),
moved AS (
  DELETE FROM campaign.suppressions AS s
   USING fresh
   WHERE s.scope = 'marketing'
     AND s.hash IN (sha256(@outer::bytea || sha256(@inner::bytea || convert_to(fresh.user_id, 'UTF8'))),
                    sha256(@outer::bytea || sha256(@inner::bytea || convert_to(fresh.former, 'UTF8'))))
  RETURNING fresh.id, s.reason, s.created_at),
stops AS (SELECT DISTINCT ON (id) id, reason, created_at FROM moved ORDER BY id, created_at DESC)
UPDATE campaign.contacts AS c
   SET user_id = fresh.user_id,
       opted_out_at = CASE WHEN COALESCE(c.consent_at <= stops.created_at, true) THEN COALESCE(c.opted_out_at, stops.created_at) ELSE c.opted_out_at END,
       opted_out_by = CASE WHEN c.opted_out_at IS NULL AND COALESCE(c.consent_at <= stops.created_at, true) THEN COALESCE(stops.reason, '') ELSE c.opted_out_by END,
       updated_at = CASE WHEN stops.id IS NULL THEN c.updated_at ELSE now() END
  FROM fresh
  LEFT JOIN stops ON stops.id = fresh.id
 WHERE c.id = fresh.id

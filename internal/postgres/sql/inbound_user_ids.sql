-- Business-scoped user ids that reports of our messages tell: by them an opt-out
-- without a number finds its person. Nothing is written for those who are known.
WITH told AS (
  SELECT DISTINCT ON (m.contact_id) m.contact_id, u.user_id
    FROM unnest(@messages::bigint[], @user_ids::text[]) AS u(message_id, user_id)
    JOIN campaign.messages AS m ON m.id = u.message_id AND m.id BETWEEN @least AND @greatest
   WHERE m.channel_id = @channel AND m.contact_id > 0
   ORDER BY m.contact_id, u.user_id),
fresh AS (
  SELECT c.id, t.user_id
    FROM told AS t
    JOIN campaign.contacts AS c ON c.id = t.contact_id AND c.user_id IS DISTINCT FROM t.user_id
   ORDER BY c.id FOR NO KEY UPDATE OF c)
UPDATE campaign.contacts AS c SET user_id = fresh.user_id FROM fresh WHERE c.id = fresh.id

-- Reads the list and the plan once. A list that nobody touched since well before
-- the plan is not read at all. (Ten minutes, because a chunk of an import notes
-- its time before it commits.)
WITH plan AS (
  SELECT c.id, c.list_id, c.first_id, c.last_id,
         c.list_id IS NULL AS list_gone,
         EXISTS (SELECT FROM campaign.lists AS l WHERE l.id = c.list_id AND l.updated_at > c.created_at - interval '10 minutes') AS touched
    FROM campaign.campaigns AS c
   WHERE c.id = @campaign),
diff AS MATERIALIZED (
  SELECT p.contact_id AS planned, p.phone, l.contact_id AS listed
    FROM (SELECT m.contact_id, m.phone
            FROM campaign.messages AS m, plan
           WHERE plan.touched AND m.campaign_id = plan.id AND m.id BETWEEN plan.first_id AND plan.last_id) AS p
    FULL JOIN (SELECT lm.contact_id
                 FROM campaign.list_members AS lm, plan
                WHERE plan.touched AND lm.list_id = plan.list_id) AS l ON l.contact_id = p.contact_id
   WHERE p.contact_id IS NULL OR l.contact_id IS NULL)
SELECT (SELECT list_gone FROM plan),
       (SELECT count(*) FROM diff WHERE planned IS NULL),
       (SELECT count(*) FROM diff WHERE listed IS NULL),
       ARRAY(SELECT c.phone FROM diff JOIN campaign.contacts AS c ON c.id = diff.listed WHERE planned IS NULL ORDER BY c.id LIMIT @examples),
       ARRAY(SELECT phone FROM diff WHERE listed IS NULL ORDER BY planned LIMIT @examples)
  FROM plan

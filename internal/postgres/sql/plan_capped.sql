-- Who on a list got at least so many marketing messages since a moment, under
-- any form of the number, and when, the newest first: in the order of
-- plan_contacts. One pass over the messages that may have been posted since,
-- whatever the list.
SELECT a.match_key, (array_agg(m.claimed_at ORDER BY m.claimed_at DESC))[1:1000]
  FROM campaign.messages AS m
  JOIN campaign.contacts AS a ON a.id = m.contact_id
 WHERE m.contact_id > 0
   AND m.id BETWEEN @first AND @last
   AND m.claimed_at > @since
   AND (m.state IN ('sending', 'unknown', 'accepted', 'held', 'sent', 'delivered', 'read') OR m.resend)
   AND m.template_id IN (SELECT t.id FROM campaign.templates AS t WHERE t.category = 'MARKETING')
   AND a.match_key IN (SELECT c.match_key FROM campaign.list_members AS l JOIN campaign.contacts AS c ON c.id = l.contact_id
                        WHERE l.list_id = @list)
 GROUP BY a.match_key
HAVING count(*) >= @least::int
 ORDER BY a.match_key COLLATE "C"

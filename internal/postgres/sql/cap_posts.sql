-- The marketing that people got under any form of their number: what was posted
-- and may have arrived. Carried by messages_contact_idx: there is no table of
-- posts to be written with every claim, and a cap that is set today knows what
-- was sent before. The least id is that of the campaigns that may have posted
-- since, so that partitions are dropped; messages of no campaign have no such
-- bound, and where there are any all partitions are asked.
SELECT a.match_key, m.id, m.claimed_at
  FROM campaign.contacts AS c
  JOIN campaign.contacts AS a ON a.match_key = c.match_key
  JOIN campaign.messages AS m ON m.contact_id = a.id
 WHERE c.id = ANY(@contacts::bigint[])
   AND m.contact_id > 0
   AND m.id >= CASE WHEN EXISTS (SELECT FROM campaign.message_totals AS n WHERE n.campaign_id = 0) THEN 0
                    ELSE COALESCE((SELECT min(k.first_id) FROM campaign.campaigns AS k
                                    WHERE k.started_at IS NOT NULL AND k.first_id > 0
                                      AND (k.finished_at IS NULL OR k.finished_at > @since)), 0) END
   AND m.id <= (SELECT last_value FROM campaign.message_ids)
   AND m.claimed_at > @since
   AND (m.state IN ('sending', 'unknown', 'accepted', 'held', 'sent', 'delivered', 'read') OR m.resend)
   AND EXISTS (SELECT FROM campaign.templates AS t WHERE t.id = m.template_id AND t.category = 'MARKETING')
 ORDER BY m.claimed_at DESC

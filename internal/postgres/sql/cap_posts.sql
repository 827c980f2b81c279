-- The marketing that people got: what was posted and may have arrived. Carried by
-- messages_contact_idx: there is no table of posts to be written with every
-- claim, and a cap that is set today knows what was sent before. The people come
-- as numbers and the bounds as values; as joins, all of it was estimated as
-- nothing, and the whole of three campaigns was read for 500 people (1.4 s).
SELECT m.contact_id, m.id, m.claimed_at
  FROM campaign.messages AS m
 WHERE m.contact_id = ANY(@contacts::bigint[]) AND m.contact_id > 0
   AND m.id BETWEEN @first AND @last
   AND m.claimed_at > @since
   AND (m.state IN ('sending', 'unknown', 'accepted', 'held', 'sent', 'delivered', 'read') OR m.resend)
   AND m.template_id IN (SELECT t.id FROM campaign.templates AS t WHERE t.category = 'MARKETING')
 ORDER BY m.claimed_at DESC

-- The audience of a plan, streamed. Forms of one person's number come one after
-- the other, the longest first: the provider wants Brazilian mobile numbers with
-- their 9 (whatsapp-facts §7.1), and the first form is the one that is sent to.
-- Byte order, because only equality matters and it sorts fastest.
SELECT c.id, c.phone, c.match_key, c.country, c.nanp, c.language, c.time_zone, c.attributes, c.opt_in, c.opted_out_at, m.row_number
  FROM campaign.list_members AS m
  JOIN campaign.contacts AS c ON c.id = m.contact_id
 WHERE m.list_id = @list
 ORDER BY c.match_key COLLATE "C", length(c.phone) DESC, c.id

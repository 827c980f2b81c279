-- The audience of a plan, streamed. Forms of one person's number come one after
-- the other, the longest first: the provider wants Brazilian mobile numbers with
-- their 9 (whatsapp-facts §7.1), and the first form is the one that is sent to.
-- Byte order, because only equality matters and it sorts fastest.
-- Nobody is hashed while the suppression list is empty. Consent is that of every
-- form, on the list or not, as at the claim.
SELECT c.id, c.phone, c.match_key, c.country, c.nanp, c.language, c.time_zone, c.attributes, p.opt_in,
       COALESCE(p.opted_out_at, o.created_at), s.hash IS NOT NULL OR u.hash IS NOT NULL, b.country IS NOT NULL,
       COALESCE(s.forgotten, false) OR COALESCE(u.forgotten, false), m.row_number
  FROM campaign.list_members AS m
  JOIN campaign.contacts AS c ON c.id = m.contact_id
 CROSS JOIN LATERAL (SELECT bool_or(f.opt_in) AS opt_in, min(f.opted_out_at) AS opted_out_at
                       FROM (SELECT c.opt_in, c.opted_out_at
                              UNION ALL
                             SELECT a.opt_in, a.opted_out_at FROM campaign.contacts AS a
                              WHERE a.match_key = c.match_key AND a.phone <> a.match_key AND a.id <> c.id
                              UNION ALL
                             SELECT a.opt_in, a.opted_out_at FROM campaign.contacts AS a WHERE a.phone = c.match_key AND c.phone <> c.match_key) AS f) AS p
 CROSS JOIN LATERAL (SELECT CASE WHEN EXISTS (SELECT FROM campaign.suppressions)
                                 THEN sha256(@outer::bytea || sha256(@inner::bytea || convert_to(c.match_key, 'UTF8'))) END AS phone,
                            CASE WHEN EXISTS (SELECT FROM campaign.suppressions)
                                 THEN sha256(@outer::bytea || sha256(@inner::bytea || convert_to(c.user_id, 'UTF8'))) END AS user_id) AS h
  LEFT JOIN campaign.suppressions AS s ON s.hash = h.phone AND s.scope = 'all'
  LEFT JOIN campaign.suppressions AS u ON u.hash = h.user_id AND u.scope = 'all'
  LEFT JOIN campaign.suppressions AS o ON o.hash = h.user_id AND o.scope = 'marketing'
  LEFT JOIN campaign.suppressed_countries AS b ON b.country = c.country
 WHERE m.list_id = @list
 ORDER BY c.match_key COLLATE "C", length(c.phone) DESC, c.id

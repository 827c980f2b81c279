-- A person by number, or by any form of it: the exact number comes first.
SELECT c.id, c.phone, c.match_key, c.country, c.nanp, c.language, c.time_zone, c.attributes, c.opt_in, c.opt_in_source, c.opt_in_at,
       COALESCE(c.opted_out_at, o.created_at) AS opted_out_at, COALESCE(NULLIF(c.opted_out_by, ''), o.reason, '') AS opted_out_by,
       c.rest_until, NULL::timestamptz AS capped_until, '' AS capped_then, COALESCE(c.user_id, '') AS user_id, c.created_at, c.updated_at,
       s.hash IS NOT NULL OR u.hash IS NOT NULL AS suppressed, b.country IS NOT NULL AS country_blocked
  FROM campaign.contacts AS c
 CROSS JOIN LATERAL (SELECT sha256(@outer::bytea || sha256(@inner::bytea || convert_to(c.match_key, 'UTF8'))) AS phone,
                            sha256(@outer::bytea || sha256(@inner::bytea || convert_to(c.user_id, 'UTF8'))) AS user_id) AS h
  LEFT JOIN campaign.suppressions AS s ON s.hash = h.phone AND s.scope = 'all'
  LEFT JOIN campaign.suppressions AS u ON u.hash = h.user_id AND u.scope = 'all'
  LEFT JOIN campaign.suppressions AS o ON o.hash = h.user_id AND o.scope = 'marketing'
  LEFT JOIN campaign.suppressed_countries AS b ON b.country = c.country
 WHERE c.phone = @phone OR c.match_key = @match_key
 ORDER BY c.phone <> @phone, c.id

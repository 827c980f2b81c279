-- What a claim must know of people. The hashes are HMAC-SHA256: the two pads of
-- the key come as parameters. Nothing is hashed while nobody is suppressed (the
-- EXISTS is asked once), and windows are looked up only of those who rest.
SELECT c.id, COALESCE(s.everything, false), COALESCE(b.country IS NOT NULL, false),
       c.opted_out_at IS NOT NULL OR COALESCE(s.marketing, false), c.opt_in IS TRUE, c.nanp, c.rest_until,
       CASE WHEN c.rest_until > clock_timestamp()
            THEN ARRAY(SELECT w.channel_id FROM campaign.service_windows AS w
                        WHERE w.match_key = c.match_key AND w.last_at > clock_timestamp() - interval '24 hours') END
  FROM campaign.contacts AS c
  LEFT JOIN campaign.suppressed_countries AS b ON b.country = c.country
  LEFT JOIN LATERAL (
       SELECT bool_or(x.scope = 'all') AS everything, bool_or(x.scope = 'marketing') AS marketing
         FROM campaign.suppressions AS x
        WHERE EXISTS (SELECT FROM campaign.suppressions)
          AND x.hash = ANY(ARRAY[sha256(@outer::bytea || sha256(@inner::bytea || convert_to(c.match_key, 'UTF8'))),
                                 sha256(@outer::bytea || sha256(@inner::bytea || convert_to(c.user_id, 'UTF8')))])) AS s ON true
 WHERE c.id = ANY(@contacts::bigint[])

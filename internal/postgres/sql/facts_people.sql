-- What a claim must know of people: consent and rest under every form of their
-- number, as an import, a service or a webhook knew it. Few people have another
-- form: contacts_other_form_idx holds these only, and is asked in vain in 1 or 2 us;
-- all forms by contacts_match_key_idx took 7. The hashes are HMAC-SHA256:
-- the two pads of the key come as parameters. Nothing is hashed while nobody is
-- suppressed (the EXISTS is asked once), and windows are looked up only of those
-- who rest.
SELECT c.id, COALESCE(s.everything, false), COALESCE(b.country IS NOT NULL, false),
       p.opted_out OR COALESCE(s.marketing, false)
       OR EXISTS (SELECT FROM campaign.marketing_preferences AS w WHERE w.match_key = c.match_key AND w.stopped), p.opted_in, c.nanp, p.rest_until,
       CASE WHEN p.rest_until > clock_timestamp()
            THEN ARRAY(SELECT w.channel_id FROM campaign.service_windows AS w
                        WHERE w.match_key = c.match_key AND w.last_at > clock_timestamp() - interval '24 hours') END
  FROM campaign.contacts AS c
 CROSS JOIN LATERAL (
       SELECT bool_or(f.opted_out_at IS NOT NULL) AS opted_out, bool_or(f.opt_in IS TRUE) AS opted_in, max(f.rest_until) AS rest_until,
              array_agg(f.user_id) FILTER (WHERE f.user_id IS NOT NULL) AS user_ids
         FROM (SELECT c.opted_out_at, c.opt_in, c.rest_until, c.user_id
                UNION ALL
               SELECT a.opted_out_at, a.opt_in, a.rest_until, a.user_id
                 FROM campaign.contacts AS a WHERE a.match_key = c.match_key AND a.phone <> a.match_key AND a.id <> c.id
                UNION ALL
               SELECT a.opted_out_at, a.opt_in, a.rest_until, a.user_id
                 FROM campaign.contacts AS a WHERE a.phone = c.match_key AND c.phone <> c.match_key) AS f) AS p
  LEFT JOIN campaign.suppressed_countries AS b ON b.country = c.country
  LEFT JOIN LATERAL (
       SELECT bool_or(x.scope = 'all') AS everything, bool_or(x.scope = 'marketing') AS marketing
         FROM campaign.suppressions AS x
        WHERE EXISTS (SELECT FROM campaign.suppressions)
          AND x.hash = ANY(ARRAY(SELECT sha256(@outer::bytea || sha256(@inner::bytea || convert_to(c.match_key, 'UTF8')))
                                  UNION ALL
                                 SELECT sha256(@outer::bytea || sha256(@inner::bytea || convert_to(u.user_id, 'UTF8')))
                                   FROM unnest(p.user_ids) AS u(user_id)))) AS s ON true
 WHERE c.id = ANY(@contacts::bigint[])

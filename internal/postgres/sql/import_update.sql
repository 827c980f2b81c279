-- Known contacts that a row says something new about; the others are not even
-- locked. Run only where import_merge.sql found one.
WITH merged AS (
  SELECT c.id, n.*
    FROM pg_temp.import_rows AS r
    JOIN campaign.contacts AS c ON c.phone = r.phone
   CROSS JOIN LATERAL (
         SELECT r.match_key, r.country, r.nanp,
                COALESCE(NULLIF(r.language, ''), c.language) AS language,
                COALESCE(NULLIF(r.time_zone, ''), c.time_zone) AS time_zone,
                c.attributes || r.attributes AS attributes,
                COALESCE(r.opt_in, c.opt_in) AS opt_in,
                CASE WHEN r.opt_in_source <> '' THEN r.opt_in_source
                     WHEN r.opt_in IS NULL OR r.opt_in IS NOT DISTINCT FROM c.opt_in THEN c.opt_in_source
                     ELSE @source::text END AS opt_in_source,
                CASE WHEN r.opt_in_at IS NOT NULL THEN r.opt_in_at
                     WHEN r.opt_in IS NULL OR r.opt_in IS NOT DISTINCT FROM c.opt_in THEN c.opt_in_at
                     ELSE now() END AS opt_in_at) AS n
   WHERE (c.match_key, c.country, c.nanp, c.language, c.time_zone, c.attributes, c.opt_in, c.opt_in_source, c.opt_in_at)
         IS DISTINCT FROM
         (n.match_key, n.country, n.nanp, n.language, n.time_zone, n.attributes, n.opt_in, n.opt_in_source, n.opt_in_at)
   ORDER BY c.phone COLLATE "C"
     FOR NO KEY UPDATE OF c)
UPDATE campaign.contacts AS c
   SET match_key = m.match_key, country = m.country, nanp = m.nanp, language = m.language, time_zone = m.time_zone,
       attributes = m.attributes, opt_in = m.opt_in, opt_in_source = m.opt_in_source, opt_in_at = m.opt_in_at,
       updated_at = now()
  FROM merged AS m
 WHERE c.id = m.id

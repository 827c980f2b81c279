-- Stored bodies that may name a person, a contact that somebody shared included: a scan, once for each person who is
-- forgotten, over two weeks of webhooks.
SELECT w.id, w.body
  FROM campaign.webhooks AS w
 WHERE w.id > $1 AND (EXISTS (SELECT FROM unnest($2::bytea[]) AS p(pattern) WHERE position(p.pattern IN w.body) > 0)
                      OR position('"phones"'::bytea IN w.body) > 0)
 ORDER BY w.id
 LIMIT $3

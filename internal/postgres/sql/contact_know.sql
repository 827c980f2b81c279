-- Makes contacts of people that are known in no form.
INSERT INTO campaign.contacts (phone, match_key, country, nanp)
SELECT p.phone, p.match_key, p.country, p.nanp
  FROM unnest(@phones::text[], @match_keys::text[], @countries::text[], @nanps::text[]) AS p(phone, match_key, country, nanp)
 WHERE NOT EXISTS (SELECT FROM campaign.contacts AS c WHERE c.match_key = p.match_key)
 ORDER BY p.phone
ON CONFLICT (phone) DO NOTHING

-- Takes back the opt-outs that are kept by the user ids of people.
DELETE FROM campaign.suppressions AS s
 USING campaign.contacts AS c
 WHERE c.match_key = ANY(@match_keys::text[]) AND c.user_id IS NOT NULL AND s.scope = 'marketing'
   AND s.hash = sha256(@outer::bytea || sha256(@inner::bytea || convert_to(c.user_id, 'UTF8')))

WITH locked AS (
  SELECT id FROM campaign.contacts
   WHERE match_key = ANY(@match_keys::text[]) AND (opt_in IS DISTINCT FROM true OR opted_out_at IS NOT NULL)
   ORDER BY phone COLLATE "C" FOR NO KEY UPDATE)
UPDATE campaign.contacts AS c
   SET opt_in = true, opt_in_source = @source, opt_in_at = clock_timestamp(), consent_at = clock_timestamp(), opted_out_at = NULL, opted_out_by = '', updated_at = now()
  FROM locked WHERE c.id = locked.id

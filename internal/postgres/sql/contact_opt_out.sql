-- Every form of the number; a first opt-out keeps its time and source, unless
-- WhatsApp was the source: its resume must not lift this one.
WITH locked AS (
  SELECT id FROM campaign.contacts
   WHERE match_key = ANY(@match_keys::text[]) AND (opted_out_at IS NULL OR opted_out_by IN ('user_preference', 'provider'))
   ORDER BY phone COLLATE "C" FOR NO KEY UPDATE)
UPDATE campaign.contacts AS c
   SET opted_out_at = COALESCE(c.opted_out_at, clock_timestamp()), consent_at = clock_timestamp(), opted_out_by = @source, updated_at = now()
  FROM locked WHERE c.id = locked.id

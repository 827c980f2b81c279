-- Lifts an opt-out, or only one of certain sources, and notes consent where the
-- person gave it.
WITH moment AS (SELECT least(COALESCE(@at::timestamptz, clock_timestamp()), clock_timestamp()) AS at),
locked AS (
  SELECT c.id, NOT @only::boolean OR c.opted_out_by = ANY(@liftable::text[]) AS lifts
    FROM campaign.contacts AS c, moment
   WHERE c.match_key = @match_key AND COALESCE(c.consent_at <= moment.at, true)
   ORDER BY c.phone COLLATE "C" FOR NO KEY UPDATE OF c)
UPDATE campaign.contacts AS c
   SET opted_out_at = CASE WHEN locked.lifts THEN NULL ELSE c.opted_out_at END,
       opted_out_by = CASE WHEN locked.lifts THEN '' ELSE c.opted_out_by END,
       consent_at = moment.at,
       opt_in = @consents OR c.opt_in,
       opt_in_source = CASE WHEN @consents THEN @source ELSE c.opt_in_source END,
       opt_in_at = CASE WHEN @consents THEN moment.at ELSE c.opt_in_at END, updated_at = now()
  FROM locked, moment
 WHERE c.id = locked.id

-- Lifts an opt-out, or (@only) what WhatsApp stopped, and notes consent where the
-- person gave it. What WhatsApp stopped still holds: preference_lift.sql took back
-- what is older than a word, preference_set.sql what it resumed. A word of the same
-- second as a stop is too old. The rows are locked already, so that this sees
-- whatever was committed before.
WITH moment AS (SELECT least(COALESCE(@at::timestamptz, clock_timestamp()), clock_timestamp()) AS at),
locked AS (
  SELECT c.id, NOT @only::boolean OR c.opted_out_by = ANY(@liftable::text[]) AS lifts,
         EXISTS (SELECT FROM campaign.marketing_preferences AS p
                  WHERE p.match_key = c.match_key AND p.stopped) AS stopped
    FROM campaign.contacts AS c, moment
   WHERE c.match_key = @match_key AND (@only OR COALESCE(c.consent_at < moment.at, true))
   ORDER BY c.phone COLLATE "C" FOR NO KEY UPDATE OF c)
UPDATE campaign.contacts AS c
   SET opted_out_at = CASE WHEN locked.lifts AND NOT locked.stopped THEN NULL ELSE c.opted_out_at END,
       opted_out_by = CASE WHEN locked.lifts AND NOT locked.stopped THEN ''
                           WHEN locked.lifts AND c.opted_out_at IS NOT NULL AND c.opted_out_by <> ALL(@liftable) THEN 'user_preference'
                           ELSE c.opted_out_by END,
       consent_at = CASE WHEN @only THEN c.consent_at ELSE moment.at END,
       opt_in = @consents OR c.opt_in,
       opt_in_source = CASE WHEN @consents THEN @source ELSE c.opt_in_source END,
       opt_in_at = CASE WHEN @consents THEN moment.at ELSE c.opt_in_at END, updated_at = now()
  FROM locked, moment
 WHERE c.id = locked.id

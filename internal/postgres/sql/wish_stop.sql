-- Every form of the number; a first opt-out keeps its time. It keeps its source,
-- too, unless WhatsApp was the source: its resume must not lift what the person
-- said. It says whether the stop is news: no form had opted out before.
WITH moment AS (SELECT least(COALESCE(@at::timestamptz, clock_timestamp()), clock_timestamp()) AS at),
locked AS (
  SELECT c.id, c.opted_out_at IS NULL AS news FROM campaign.contacts AS c, moment
   WHERE c.match_key = @match_key AND COALESCE(date_trunc('second', c.consent_at) <= moment.at, true) -- as the provider's clock counts
   ORDER BY c.phone COLLATE "C" FOR NO KEY UPDATE OF c),
stopped AS (
  UPDATE campaign.contacts AS c
     SET opted_out_at = COALESCE(c.opted_out_at, clock_timestamp()),
         consent_at = CASE WHEN @source = ANY(@liftable::text[]) THEN c.consent_at ELSE moment.at END,
         opted_out_by = CASE WHEN c.opted_out_at IS NULL OR c.opted_out_by = ANY(@liftable) THEN @source ELSE c.opted_out_by END,
         updated_at = now()
    FROM locked, moment
   WHERE c.id = locked.id
  RETURNING locked.news)
SELECT COALESCE(bool_and(news), false) FROM stopped

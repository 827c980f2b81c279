-- A person's own word takes back what WhatsApp stopped before it.
UPDATE campaign.marketing_preferences AS p
   SET stopped = false
  FROM campaign.contacts AS c
 WHERE c.match_key = @match_key AND p.match_key = c.match_key AND p.stopped
   AND p.at < least(COALESCE(@at::timestamptz, clock_timestamp()), clock_timestamp())
   AND COALESCE(c.consent_at < least(COALESCE(@at::timestamptz, clock_timestamp()), clock_timestamp()), true)

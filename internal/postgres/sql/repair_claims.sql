-- Claims that must be over, oldest first.
SELECT id, messages
  FROM campaign.claims
 WHERE claimed_at < clock_timestamp() - make_interval(secs => @seconds)
 ORDER BY id
 LIMIT 1000

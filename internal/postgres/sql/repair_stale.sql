-- Of some messages, those whose claim nobody answered.
SELECT id
  FROM campaign.messages
 WHERE id = ANY(@ids::bigint[]) AND id BETWEEN @least AND @greatest
   AND state = 'sending' AND claimed_at < clock_timestamp() - make_interval(secs => @seconds)
 ORDER BY id

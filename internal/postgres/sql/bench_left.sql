-- What a campaign has still to do, by its counters.
SELECT COALESCE(sum(n), 0)::bigint
  FROM campaign.message_totals
 WHERE campaign_id = @campaign AND state IN ('pending', 'queued', 'sending', 'deferred')

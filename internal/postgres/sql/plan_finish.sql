-- The bounds of the plan's ids: the last one is the last that this session took,
-- the first one is found at the start of the range, past what others took
-- meanwhile.
UPDATE campaign.campaigns AS c
   SET total = @total, eligible = @eligible, plan_hash = @plan_hash,
       first_id = CASE WHEN @total::bigint > 0 THEN (SELECT m.id FROM campaign.messages AS m
                                              WHERE m.id > @before AND m.id <= currval('campaign.message_ids') AND m.campaign_id = @campaign
                                              ORDER BY m.id LIMIT 1) ELSE 0 END,
       last_id = CASE WHEN @total::bigint > 0 THEN currval('campaign.message_ids') ELSE 0 END
 WHERE c.id = @campaign

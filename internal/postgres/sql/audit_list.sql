SELECT id, at, database_user, os_user, host, program, action, object, object_id, name, detail, campaign_id, reason, plan_hash, count
  FROM campaign.audit
 WHERE (@campaign = 0 OR campaign_id = @campaign) AND at >= @since
 ORDER BY id DESC
 LIMIT @limit

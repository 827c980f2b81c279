-- The holds that stand on a campaign's scopes.
SELECT h.id, h.scope, h.scope_id, h.source, h.reason, h.until, h.created_at
  FROM campaign.campaigns AS c
  JOIN campaign.channels AS ch ON ch.id = c.channel_id
  JOIN campaign.holds AS h
    ON h.scope = 'campaign' AND h.scope_id = c.id
    OR h.scope = 'channel' AND h.scope_id = c.channel_id
    OR h.scope = 'account' AND h.scope_id = ch.account_id
    OR h.scope = 'template' AND h.scope_id = ANY(c.template_ids)
 WHERE c.id = @campaign AND (h.until IS NULL OR h.until > clock_timestamp())
 ORDER BY h.created_at, h.id

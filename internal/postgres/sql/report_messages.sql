-- One message by id, or those of a person by messages_contact_idx.
WITH chosen AS (
  SELECT m.* FROM campaign.messages AS m WHERE @id::bigint > 0 AND m.id = @id
  UNION ALL
  (SELECT m.* FROM campaign.messages AS m
    WHERE @id::bigint = 0 AND m.contact_id > 0
      AND m.contact_id = ANY(ARRAY(SELECT c.id FROM campaign.contacts AS c WHERE c.match_key = @match_key))
    ORDER BY m.id DESC LIMIT @limit))
SELECT m.id, m.campaign_id, COALESCE(c.name, '') AS campaign, ch.name AS channel, t.name AS template, t.language, m.phone,
       m.state, m.reason, m.error_code, m.raw_status, m.provider_id, m.posts AS attempts, m.row_number AS row,
       COALESCE(c.constants, '{}') || m.parameters AS parameters,
       m.created_at, m.due_at, m.claimed_at, m.expires_at, m.sent_at, m.delivered_at, m.read_at, m.failed_at,
       COALESCE((SELECT jsonb_agg(jsonb_build_object('attempt', a.attempt, 'provider_id', a.provider_id, 'state', a.state,
                                                     'error_code', a.error_code, 'claimed_at', a.claimed_at) ORDER BY a.attempt)
                   FROM campaign.attempts AS a WHERE a.message_id = m.id), '[]') AS former
  FROM chosen AS m
  JOIN campaign.channels AS ch ON ch.id = m.channel_id
  JOIN campaign.templates AS t ON t.id = m.template_id
  LEFT JOIN campaign.campaigns AS c ON c.id = m.campaign_id
 ORDER BY m.id DESC

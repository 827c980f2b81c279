-- What a service window lets go: messages that an experiment refused within the
-- last week and that were not tried again since (a former attempt would tell),
-- and those that wait for the limit on marketing. Carried by messages_contact_idx.
SELECT m.id, m.posts
  FROM campaign.contacts AS c
  JOIN campaign.messages AS m ON m.contact_id = c.id AND m.contact_id > 0
 WHERE c.match_key = @match_key AND m.channel_id = @channel
   AND (m.state = 'failed' AND m.error_code = @code::text AND m.failed_at > clock_timestamp() - interval '7 days'
        AND NOT EXISTS (SELECT FROM campaign.attempts AS a WHERE a.message_id = m.id AND a.error_code = @code::text)
        OR m.state IN ('pending', 'deferred') AND m.due_at > clock_timestamp() AND m.reason IN ('rest', 'retry'))
 ORDER BY m.id
 LIMIT 100

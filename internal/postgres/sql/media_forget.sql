WITH gone AS (DELETE FROM campaign.media WHERE expires_at < clock_timestamp() - interval '90 days')
DELETE FROM campaign.media_files AS f
 WHERE f.used_at < clock_timestamp() - interval '90 days'
   AND NOT EXISTS (SELECT FROM campaign.schedules AS s, jsonb_each_text(s.files) AS n WHERE s.next_at IS NOT NULL AND n.value = encode(f.sha256, 'hex'))
   AND NOT EXISTS (SELECT FROM campaign.launch_requests AS r, jsonb_each_text(r.files) AS n WHERE r.due_at IS NOT NULL AND n.value = encode(f.sha256, 'hex'))
   AND NOT EXISTS (SELECT FROM campaign.media AS m
                     JOIN campaign.campaigns AS c ON c.channel_id = m.channel_id AND c.state IN ('scheduled', 'running')
                    WHERE m.sha256 = f.sha256 AND m.expires_at > clock_timestamp())

-- Uploads that the constants of open campaigns name and that end soon. An id that
-- a campaign file gave is nobody's upload of ours, and is not in campaign.media.
SELECT c.id, ch.name, slot.key, kind.key, m.media_id, encode(m.sha256, 'hex'),
       EXISTS (SELECT FROM campaign.media_files AS f WHERE f.sha256 = m.sha256), m.expires_at
  FROM campaign.campaigns AS c
  JOIN campaign.channels AS ch ON ch.id = c.channel_id
 CROSS JOIN LATERAL jsonb_each(c.constants) AS slot
 CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(slot.value) = 'object' THEN slot.value ELSE '{}' END) AS kind
  JOIN campaign.media AS m ON m.channel_id = c.channel_id AND m.media_id = CASE WHEN jsonb_typeof(kind.value) = 'object' THEN kind.value->>'id' END
 WHERE c.state IN ('scheduled', 'running') AND m.expires_at < clock_timestamp() + make_interval(secs => @within)
 ORDER BY c.id, slot.key

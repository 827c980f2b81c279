-- All schedules, one by its name, or those of which a moment has come.
SELECT s.id, s.name, ch.name, s.document, s.document_hash, s.files, s.cron, s.time_zone, s.late_seconds,
       s.expect_least, s.expect_most, s.ends_at, s.next_at, s.paused_at, s.pause_reason, s.created_at, s.updated_at
  FROM campaign.schedules AS s
  JOIN campaign.channels AS ch ON ch.id = s.channel_id
 WHERE (@name::text = '' OR s.name = @name) AND (@due::timestamptz IS NULL OR s.next_at <= @due)
 ORDER BY s.name

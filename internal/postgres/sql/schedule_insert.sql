-- A schedule of the same name waits for its owner's commit; it is replaced only
-- where @replace says so.
INSERT INTO campaign.schedules AS s (name, channel_id, document, document_hash, files, cron, time_zone, late_seconds, expect_least, expect_most, ends_at, next_at)
SELECT @name, ch.id, @document, @hash, @files, @cron, @time_zone, @late, @expect_least, @expect_most, @ends_at, @next_at
  FROM campaign.channels AS ch WHERE ch.name = @channel
ON CONFLICT (name) DO UPDATE
   SET channel_id = excluded.channel_id, document = excluded.document, document_hash = excluded.document_hash, files = excluded.files,
       cron = excluded.cron, time_zone = excluded.time_zone, late_seconds = excluded.late_seconds,
       expect_least = excluded.expect_least, expect_most = excluded.expect_most, ends_at = excluded.ends_at, next_at = excluded.next_at,
       updated_at = clock_timestamp()
 WHERE @replace
RETURNING s.id

-- Templates by channel, by id or by name on a channel; 0 and '' mean any.
SELECT id, channel_id, provider_id, name, language, status, category, format, quality, slots, parts, problems, sendable,
       components, synced_at
  FROM campaign.templates
 WHERE (@channel::bigint = 0 OR channel_id = @channel) AND (@id::bigint = 0 OR id = @id) AND (@name::text = '' OR name = @name)
 ORDER BY channel_id, name, language

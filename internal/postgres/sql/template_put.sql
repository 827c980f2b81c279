-- changed_at moves only with the slots: a plan that is older was made for another
-- template.
INSERT INTO campaign.templates AS t (channel_id, provider_id, name, language, status, category, format, quality, sendable,
       problems, slots, parts, components)
VALUES (@channel, @provider_id, @name, @language, @status, @category, @format, @quality, @sendable,
       @problems, @slots, @parts, @components)
ON CONFLICT (channel_id, name, language) DO UPDATE
   SET provider_id = excluded.provider_id, status = excluded.status, category = excluded.category, format = excluded.format,
       quality = excluded.quality, sendable = excluded.sendable, problems = excluded.problems, slots = excluded.slots,
       parts = excluded.parts, components = excluded.components,
       changed_at = CASE WHEN t.slots = excluded.slots THEN t.changed_at ELSE clock_timestamp() END

-- The hash of a campaign's plan is read here where the caller does not give it.
INSERT INTO campaign.audit (os_user, host, program, action, object, object_id, name, detail, campaign_id, reason, plan_hash, count)
VALUES (@os_user, @host, @program, @action, @object, @object_id,
        COALESCE(NULLIF(@name::text, ''), CASE @object::text
            WHEN 'campaign' THEN (SELECT c.name FROM campaign.campaigns AS c WHERE c.id = @object_id)
            WHEN 'channel' THEN (SELECT c.name FROM campaign.channels AS c WHERE c.id = @object_id) END, ''),
        @detail, @campaign, @reason,
        COALESCE(NULLIF(@plan_hash::text, ''), (SELECT c.plan_hash FROM campaign.campaigns AS c WHERE c.id = @campaign), ''), @count)

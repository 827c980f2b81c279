-- Starts a scheduled campaign, and says how late it is where that is too late.
UPDATE campaign.campaigns AS c SET state = 'running', started_at = clock_timestamp()
 WHERE c.id = @campaign AND c.state = 'scheduled'
RETURNING CASE WHEN clock_timestamp() - c.starts_at > make_interval(secs => COALESCE((c.spec #>> '{schedule,late}')::numeric, @late) / 1e9)
               THEN format('it was to start at %s and no daemon ran in time: look whether it is still wanted',
                           to_char(c.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) END

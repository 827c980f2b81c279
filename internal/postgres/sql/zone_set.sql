INSERT INTO campaign.zone_sets (country, zones)
VALUES (@country, @zones::text[])
ON CONFLICT ON CONSTRAINT zone_sets_key DO NOTHING
RETURNING id

-- Somebody who was forgotten stays unnamed.
INSERT INTO campaign.suppressions (hash, scope, phone, reason)
SELECT e.hash, 'all', e.phone, e.reason FROM unnest($1::bytea[], $2::text[], $3::text[]) AS e(hash, phone, reason)
ON CONFLICT (hash, scope) DO NOTHING

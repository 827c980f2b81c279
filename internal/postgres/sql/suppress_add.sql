-- Somebody who was forgotten stays unnamed.
INSERT INTO campaign.suppressions AS s (hash, scope, phone, reason)
SELECT e.hash, 'all', e.phone, @reason FROM unnest(@hashes::bytea[], @phones::text[]) AS e(hash, phone)
ON CONFLICT (hash, scope) DO NOTHING

-- A repeated claim finds its row written already.
INSERT INTO campaign.attempts (message_id, attempt, claim_id, provider_id, state, error_code, claimed_at)
SELECT * FROM unnest(@ids::bigint[], @attempts::int[], @claims::uuid[], @providers::text[], @states::text[], @codes::text[], @claimed::timestamptz[])
ON CONFLICT (message_id, attempt) DO NOTHING

INSERT INTO campaign.provider_ids (hash, message_id, attempt)
SELECT hashtextextended(p.provider_id, 0), p.message_id, p.attempt
  FROM unnest(@providers::text[], @ids::bigint[], @attempts::int[]) AS p(provider_id, message_id, attempt)

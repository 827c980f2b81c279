-- Messages by provider id. The hash has 64 bits, so the row it leads to is
-- checked: against the message, or against its former attempts.
SELECT p.provider_id, i.message_id, i.attempt
  FROM unnest(@providers::text[]) AS p(provider_id)
  JOIN campaign.provider_ids AS i ON i.hash = hashtextextended(p.provider_id, 0)
 WHERE EXISTS (SELECT FROM campaign.messages AS m WHERE m.id = i.message_id AND m.provider_id = p.provider_id)
    OR EXISTS (SELECT FROM campaign.attempts AS a WHERE a.message_id = i.message_id AND a.attempt = i.attempt AND a.provider_id = p.provider_id)

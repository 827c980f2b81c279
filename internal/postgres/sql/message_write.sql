-- Writes back what a transition decided. due_at is the only column here that an
-- index names; where its value stays the same the update is HOT.
UPDATE campaign.messages AS m
   SET state = c.state, reason = c.reason, error_code = c.error_code, raw_status = c.raw_status,
       attempt = c.attempt, posted = c.posted, posts = c.posts, proof = c.proof, resend = c.resend, resends = c.resends,
       claim_id = c.claim_id, claimed_at = c.claimed_at, due_at = c.due_at, provider_id = c.provider_id,
       sent_at = c.sent_at, delivered_at = c.delivered_at, read_at = c.read_at, failed_at = c.failed_at,
       updated_at = now()
  FROM unnest(@ids::bigint[], @states::text[], @reasons::text[], @codes::text[], @raws::text[],
              @attempts::int[], @posteds::int[], @posts::int[], @proofs::smallint[], @resend::boolean[], @resends::smallint[],
              @claims::uuid[], @claimed::timestamptz[], @due::timestamptz[], @providers::text[],
              @sent::timestamptz[], @delivered::timestamptz[], @read::timestamptz[], @failed::timestamptz[])
       AS c(id, state, reason, error_code, raw_status, attempt, posted, posts, proof, resend, resends,
            claim_id, claimed_at, due_at, provider_id, sent_at, delivered_at, read_at, failed_at)
 WHERE m.id = c.id AND m.id BETWEEN @least AND @greatest

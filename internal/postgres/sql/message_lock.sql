-- Locks messages and reads what a transition needs of them, @whole with what only a
-- POST needs. In id order, because batches that lock in another order deadlock (46
-- times in 8 seconds, measured): the ids come in order, and one is looked up after
-- the other. By LATERAL, so that no plan reads the range between the least and the
-- greatest id; these two spare the partitions that have none of them.
SELECT m.*
  FROM unnest(@ids::bigint[]) AS u(id)
 CROSS JOIN LATERAL (
       SELECT id, ctid, campaign_id, channel_id, template_id, contact_id, state, reason, error_code, raw_status,
              attempt, posted, posts, proof, resend, resends, claim_id, claimed_at, due_at, provider_id,
              expires_at, sent_at, delivered_at, read_at, failed_at, updated_at,
              CASE WHEN @whole THEN phone ELSE '' END, CASE WHEN @whole THEN parameters END, zone_set, phone = ''
         FROM campaign.messages
        WHERE id = u.id AND id BETWEEN @least AND @greatest
          FOR UPDATE) AS m

-- Replies that are a person's by their contact or the message they answer, and those of nobody we know whose name may hold
-- the number: which of these does is seen in the name. One scan for each person who is forgotten.
SELECT r.channel_id, r.provider_id, t.theirs
  FROM campaign.replies AS r,
       LATERAL (SELECT (r.contact_id > 0 AND r.contact_id = ANY($1::bigint[])
                        OR r.message_id > 0 AND r.message_id = ANY($2::bigint[])) IS TRUE AS theirs) AS t
 WHERE r.provider_id NOT LIKE 'forgotten %' AND (t.theirs OR r.contact_id = 0 AND r.provider_id LIKE ANY($3::text[]))
   FOR UPDATE OF r

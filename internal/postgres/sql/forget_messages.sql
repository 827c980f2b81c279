-- Every message to a person. Carried by messages_contact_idx and
-- messages_phone_idx: a person has few, in any partition.
SELECT id, state
  FROM campaign.messages
 WHERE contact_id > 0 AND contact_id = ANY($1::bigint[]) OR contact_id = 0 AND phone <> '' AND phone = ANY($2::text[])
 ORDER BY id

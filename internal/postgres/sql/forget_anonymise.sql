-- Takes the person out of messages that stay for the books, and out of their
-- former attempts. The states are not touched, so everything still adds up. A
-- message without a number gets no provider id from what comes later.
WITH named AS (
  SELECT m.id, m.provider_id FROM campaign.messages AS m
   WHERE m.id = ANY(@ids::bigint[]) AND m.id BETWEEN @least AND @greatest AND m.provider_id <> ''
   UNION ALL
  SELECT a.message_id, a.provider_id FROM campaign.attempts AS a WHERE a.message_id = ANY(@ids::bigint[]) AND a.provider_id <> ''),
hashes AS (
  DELETE FROM campaign.provider_ids AS i USING named
   WHERE i.hash = hashtextextended(named.provider_id, 0) AND i.message_id = named.id),
former AS (
  UPDATE campaign.attempts SET provider_id = '' WHERE message_id = ANY(@ids::bigint[]) AND provider_id <> '')
UPDATE campaign.messages AS m
   SET phone = '', parameters = '{}', provider_id = '', contact_id = 0, row_number = 0, updated_at = now()
 WHERE m.id = ANY(@ids::bigint[]) AND m.id BETWEEN @least AND @greatest

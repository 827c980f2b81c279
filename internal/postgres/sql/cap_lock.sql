-- Locks people under every form of their number, so that claims of two batches
-- that reach one person count one after the other. Who is locked by somebody else
-- is told, and not waited for: a service may keep a contact's row for as long as
-- its transaction lasts.
WITH forms AS (
  SELECT a.id, a.match_key
    FROM campaign.contacts AS a
   WHERE a.match_key IN (SELECT c.match_key FROM campaign.contacts AS c WHERE c.id = ANY(@contacts::bigint[]))),
locked AS (
  SELECT a.id FROM campaign.contacts AS a WHERE a.id IN (SELECT id FROM forms) ORDER BY a.id FOR NO KEY UPDATE SKIP LOCKED)
SELECT forms.id, forms.match_key, locked.id IS NOT NULL
  FROM forms
  LEFT JOIN locked ON locked.id = forms.id

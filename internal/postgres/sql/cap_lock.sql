-- Locks people under every form of their number, in the order of ids, so that
-- claims of two batches that reach one person count one after the other.
SELECT a.id, a.match_key
  FROM campaign.contacts AS a
 WHERE a.match_key IN (SELECT c.match_key FROM campaign.contacts AS c WHERE c.id = ANY(@contacts::bigint[]))
 ORDER BY a.id
   FOR NO KEY UPDATE OF a

-- The circumstances of a batch, read in statements of their own: their snapshots
-- are taken after the locks, so whatever a pause or a cancel committed before is
-- seen.
SELECT id, state, not_after, COALESCE(spec->'retry', '{}'), COALESCE(spec->>'us_marketing', 'skip'),
       COALESCE(spec->>'us_territories', 'allow'), CASE WHEN released_at IS NULL THEN held_at END,
       COALESCE(spec->>'opt_in' = 'assumed', false)
  FROM campaign.campaigns
 WHERE id = ANY(@campaigns::bigint[])

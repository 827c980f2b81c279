INSERT INTO campaign.holds AS h (scope, scope_id, source, reason, until)
VALUES (@scope, @scope_id, @source, @reason, @until)
ON CONFLICT (scope, scope_id, source) DO UPDATE
   SET reason = excluded.reason,
       until  = CASE WHEN h.until IS NULL OR excluded.until IS NULL THEN NULL ELSE greatest(h.until, excluded.until) END
 WHERE h.until IS NOT NULL OR h.reason <> excluded.reason

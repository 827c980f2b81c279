-- Writes what became of a claim. A claim that was given up meanwhile never waits
-- again; what is known of it is still worth having.
UPDATE campaign.confirmations
   SET state    = @state,
       reason   = @reason,
       due_at   = CASE WHEN @state = 'waiting' THEN clock_timestamp() + make_interval(secs => @wait) ELSE due_at END,
       ended_at = CASE WHEN @state = 'waiting' THEN NULL ELSE clock_timestamp() END
 WHERE id = @id AND tries = @try AND (state = 'sending' OR state = 'unknown' AND @state <> 'waiting')

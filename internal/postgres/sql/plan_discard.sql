-- Deletes a batch of a discarded plan and says how far it got; null: nothing was
-- left. Carried by the primary key.
WITH batch AS (
  SELECT id FROM campaign.messages
   WHERE id > @after AND id <= @last AND campaign_id = @campaign
   ORDER BY id LIMIT @limit),
gone AS (
  DELETE FROM campaign.messages AS m USING batch
   WHERE m.id = batch.id AND m.id > @after AND m.id <= @last)
SELECT max(id) FROM batch

SELECT message_id, attempt, state
  FROM campaign.attempts
 WHERE message_id BETWEEN COALESCE((SELECT first_id FROM campaign.campaigns WHERE id = @campaign), 0)
                      AND COALESCE((SELECT last_id FROM campaign.campaigns WHERE id = @campaign), (SELECT last_value FROM campaign.message_ids))

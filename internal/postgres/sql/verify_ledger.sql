SELECT id, campaign_id, state, posts, posted, proof, resends, phone
  FROM campaign.messages
 WHERE (@campaign = 0 OR campaign_id = @campaign)
   AND id BETWEEN COALESCE((SELECT first_id FROM campaign.campaigns WHERE id = @campaign), 0)
              AND COALESCE((SELECT last_id FROM campaign.campaigns WHERE id = @campaign), (SELECT last_value FROM campaign.message_ids))

SELECT count(*), count(DISTINCT contact_id) FROM campaign.replies WHERE campaign_id = @campaign AND campaign_id > 0

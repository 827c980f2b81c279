-- Finds the campaigns of messages by their ids alone: a batch of statuses takes the
-- locks of its campaigns before it reads a message.
CREATE INDEX campaigns_ids_idx ON campaign.campaigns (last_id, first_id);

INSERT INTO campaign.message_count_deltas (campaign_id, channel_id, state, detail, n)
SELECT * FROM unnest(@campaigns::bigint[], @channels::bigint[], @states::text[], @details::text[], @ns::bigint[])

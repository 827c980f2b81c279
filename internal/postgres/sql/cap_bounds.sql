-- Between which ids the messages are that may have been posted since a moment: no
-- campaign that ended before it has any. Messages of no campaign have no such
-- bound; where there are any, all partitions are looked at.
SELECT CASE WHEN EXISTS (SELECT FROM campaign.message_counts AS n WHERE n.campaign_id = 0)
              OR EXISTS (SELECT FROM campaign.message_count_deltas AS d WHERE d.campaign_id = 0) THEN 0
            ELSE COALESCE((SELECT min(c.first_id) FROM campaign.campaigns AS c
                            WHERE c.started_at IS NOT NULL AND c.first_id > 0
                              AND (c.finished_at IS NULL OR c.finished_at > @since)), 0) END,
       (SELECT last_value FROM campaign.message_ids)

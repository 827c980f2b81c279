-- Who is behind an inbound event: by number, else by business-scoped user id,
-- else by the message that is answered.
SELECT p.id, p.match_key
  FROM (SELECT 1 AS way, c.id, c.match_key
          FROM campaign.contacts AS c WHERE @match_key::text <> '' AND c.match_key = @match_key
         UNION ALL
        SELECT 2, c.id, c.match_key
          FROM campaign.contacts AS c WHERE @user_id::text <> '' AND c.user_id = @user_id
         UNION ALL
        SELECT 3, c.id, c.match_key
          FROM campaign.provider_ids AS i
          JOIN campaign.messages AS m ON m.id = i.message_id AND m.channel_id = @channel AND m.provider_id = @context::text
          JOIN campaign.contacts AS c ON c.id = m.contact_id
         WHERE @context::text <> '' AND i.hash = hashtextextended(@context::text, 0)) AS p
 ORDER BY p.way, p.id
 LIMIT 1

-- Lists with their sizes; one by name, or all. Counting runs over the primary key
-- of list_members, an index-only scan of the lists that are asked for.
SELECT l.id, l.name, l.columns, (SELECT count(*) FROM campaign.list_members AS m WHERE m.list_id = l.id) AS contacts,
       l.created_at, l.updated_at
  FROM campaign.lists AS l
 WHERE @name::text IS NULL OR l.name = @name
 ORDER BY l.name

-- Puts the contacts of a chunk on a list, in the order of their ids.
INSERT INTO campaign.list_members AS m (list_id, contact_id, row_number)
SELECT @list, c.id, r.row_number
  FROM pg_temp.import_rows AS r
  JOIN campaign.contacts AS c ON c.phone = r.phone
 ORDER BY c.id
ON CONFLICT (list_id, contact_id) DO UPDATE SET row_number = excluded.row_number
 WHERE m.row_number <> excluded.row_number

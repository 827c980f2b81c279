-- Puts the contacts of a chunk on a list, in the order of their ids. A subquery
-- and not a join, which is planned as a hash over all contacts.
INSERT INTO campaign.list_members AS m (list_id, contact_id, row_number)
SELECT @list, r.contact_id, r.row_number
  FROM (SELECT (SELECT c.id FROM campaign.contacts AS c WHERE c.phone = i.phone) AS contact_id, i.row_number
          FROM pg_temp.import_rows AS i) AS r
 ORDER BY r.contact_id
ON CONFLICT (list_id, contact_id) DO UPDATE SET row_number = excluded.row_number
 WHERE m.row_number <> excluded.row_number

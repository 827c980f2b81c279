-- Notes the new lines of people who are on the list already.
UPDATE campaign.list_members AS m
   SET row_number = i.row_number
  FROM (SELECT (SELECT c.id FROM campaign.contacts AS c WHERE c.phone = r.phone) AS contact_id, r.row_number
          FROM pg_temp.import_rows AS r ORDER BY 1) AS i
 WHERE m.list_id = @list AND m.contact_id = i.contact_id AND m.row_number <> i.row_number

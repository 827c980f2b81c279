-- Invents people for a benchmark: German mobile numbers, each with a first name.
-- What an import would store, without the file. The first of them are put on a
-- list.
WITH list AS (
  INSERT INTO campaign.lists (name, columns) VALUES (@list, '{first_name,voucher}') RETURNING id),
people AS (
  INSERT INTO campaign.contacts (phone, match_key, country, time_zone, attributes, opt_in, opt_in_source, opt_in_at)
  SELECT p.phone, p.phone, 'DE', 'Europe/Berlin', jsonb_build_object('first_name', 'Name' || p.i, 'voucher', 'SPRING-' || p.i), true, 'bench', now()
    FROM (SELECT i, '+49151' || lpad(i::text, 8, '0') AS phone FROM generate_series(@first::bigint, @last::bigint) AS i) AS p
  RETURNING id)
INSERT INTO campaign.list_members (list_id, contact_id, row_number)
SELECT list.id, p.id, p.n + 1 FROM list, (SELECT id, row_number() OVER (ORDER BY id) AS n FROM people) AS p WHERE p.n <= @listed

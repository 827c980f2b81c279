-- A person by number, or by any form of it: the exact number comes first.
SELECT id, phone, match_key, country, nanp, language, time_zone, attributes, opt_in, opt_in_source, opt_in_at,
       opted_out_at, opted_out_by, rest_until, created_at, updated_at
  FROM campaign.contacts
 WHERE phone = @phone OR match_key = @match_key
 ORDER BY phone <> @phone, id

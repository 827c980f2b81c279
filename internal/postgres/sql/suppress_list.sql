-- The last row counts those who have no number.
(SELECT '' AS phone, country, reason, created_at, 0::bigint AS forgotten FROM campaign.suppressed_countries ORDER BY country)
UNION ALL
(SELECT phone, '', reason, created_at, 0 FROM campaign.suppressions WHERE phone IS NOT NULL ORDER BY phone COLLATE "C")
UNION ALL
SELECT '', '', '', now(), count(*) FROM campaign.suppressions WHERE forgotten

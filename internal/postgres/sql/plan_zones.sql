SELECT z.country, z.zones, m.n
  FROM (SELECT x.zone_set, count(*) AS n
          FROM campaign.campaigns AS c
          JOIN campaign.messages AS x ON x.campaign_id = c.id AND x.id BETWEEN c.first_id AND c.last_id
         WHERE c.id = @campaign AND x.state IN ('pending', 'queued', 'deferred')
         GROUP BY x.zone_set) AS m
  JOIN campaign.zone_sets AS z ON z.id = m.zone_set
 ORDER BY z.id

-- Lifts every hold on the campaign itself, and on its templates every one but
-- that of a template which the provider does not approve.
DELETE FROM campaign.holds AS h
 USING campaign.campaigns AS c
 WHERE c.id = @campaign
   AND (h.scope = 'campaign' AND h.scope_id = c.id
        OR h.scope = 'template' AND h.scope_id IN (SELECT t.id FROM campaign.templates AS t
                                                    WHERE t.id = ANY(c.template_ids) AND t.status = 'APPROVED'))

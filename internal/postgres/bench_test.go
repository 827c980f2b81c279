package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestAGrownPlanIsLikeAPlannedOne: a benchmark of a grown plan says something
// about plans only if the rows are the same but for who they are for.
func TestAGrownPlanIsLikeAPlannedOne(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	if err := w.InventContacts(ctx, "one", 1, 50, 1); err != nil {
		t.Fatal(err)
	}
	if err := w.InventContacts(ctx, "all", 51, 50, 50); err != nil {
		t.Fatal(err)
	}
	grownSpec, plannedSpec := w.spec, w.spec
	grownSpec.Name, grownSpec.Audience.List = "grown", "one"
	plannedSpec.Name, plannedSpec.Audience.List = "planned", "all"
	grown, err := w.plan(t, grownSpec)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.GrowPlan(ctx, grown.ID); err != nil {
		t.Fatal(err)
	}
	planned, err := w.plan(t, plannedSpec)
	if err != nil {
		t.Fatal(err)
	}

	rows, err := w.pool.Query(ctx, `
		SELECT m.campaign_id, count(*), count(DISTINCT m.contact_id), bool_and(m.phone = c.phone),
		       bool_and(m.parameters->>'body.1' = c.attributes->>'first_name'),
		       array_agg(DISTINCT (to_jsonb(m) - ARRAY['id', 'campaign_id', 'contact_id', 'phone', 'row_number', 'parameters', 'due_at', 'created_at', 'updated_at'])::text)
		  FROM campaign.messages AS m JOIN campaign.contacts AS c ON c.id = m.contact_id
		  JOIN campaign.campaigns AS p ON p.id = m.campaign_id AND m.id BETWEEN p.first_id AND p.last_id
		 GROUP BY m.campaign_id`)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[int64][]string{}
	var id, messages, people int64
	var phones, parameters bool
	var kind []string
	_, err = pgx.ForEachRow(rows, []any{&id, &messages, &people, &phones, &parameters, &kind}, func() error {
		kinds[id] = kind
		if id == int64(grown.ID) && (messages != 100 || people != 100) || !phones || !parameters {
			t.Errorf("campaign %d: %d messages to %d people, their numbers %t, their names %t", id, messages, people, phones, parameters)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	one, other := kinds[int64(grown.ID)], kinds[int64(planned.ID)]
	if len(one) != 1 || len(other) != 1 || one[0] != other[0] {
		t.Errorf("a grown plan has messages like\n%v\nand a planned one\n%v", one, other)
	}
	status, err := w.Status(ctx, grown.ID)
	if err != nil || status.Total != 100 || status.Counts["pending"] != 100 {
		t.Errorf("the counters say %+v, %v", status, err)
	}
	if left, err := w.Left(ctx, grown.ID); err != nil || left != 100 {
		t.Errorf("%d are left, %v", left, err)
	}
}

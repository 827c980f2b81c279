package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

// Chunks are written two at a time; of a number that comes again in each of them
// the last row has to win all the same.
func TestTheLastRowOfANumberWinsAcrossChunks(t *testing.T) {
	t.Parallel()
	store, pool := audienceStore(t)
	const rounds, people = 5, 34_000 // every round is a little more than a chunk
	result := mustImport(t, store, postgres.ImportOptions{List: "l"}, func(yield func(campaign.ContactRow, error) bool) {
		for round := range rounds {
			for n := range people {
				number := n
				if n >= 100 {
					number += round * people // the others are met once
				}
				if !yield(contactRow(number, map[string]string{"round": fmt.Sprint(round)}), nil) {
					return
				}
			}
		}
	})
	if result.Rows != rounds*people || result.Created != rounds*(people-100)+100 || result.Created+result.Updated+result.Unchanged != result.Rows {
		t.Errorf("result %+v", result)
	}
	var stale int
	err := pool.QueryRow(t.Context(), `SELECT count(*) FROM campaign.contacts WHERE phone = ANY($1) AND attributes->>'round' <> $2`,
		func() (phones []string) {
			for n := range 100 {
				phones = append(phones, contactRow(n, nil).Phone)
			}
			return phones
		}(), fmt.Sprint(rounds-1)).Scan(&stale)
	if err != nil || stale != 0 {
		t.Errorf("%d of 100 people have the value of a former row (%v)", stale, err)
	}
}

// What foreign keys did: no member is left of a list or a contact that is gone.
func TestMembersGoWithTheirListAndTheirContact(t *testing.T) {
	t.Parallel()
	store, pool := audienceStore(t)
	mustImport(t, store, postgres.ImportOptions{List: "kept"}, manyRows(100))
	mustImport(t, store, postgres.ImportOptions{List: "deleted"}, manyRows(100))
	if _, _, err := store.DeleteList(t.Context(), "deleted"); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `DELETE FROM campaign.contacts WHERE phone = $1`, contactRow(7, nil).Phone); err != nil {
		t.Fatal(err)
	}
	var members, orphans int
	err := pool.QueryRow(t.Context(), `
		SELECT count(*), count(*) FILTER (WHERE l.id IS NULL OR c.id IS NULL)
		  FROM campaign.list_members AS m
		  LEFT JOIN campaign.lists AS l ON l.id = m.list_id
		  LEFT JOIN campaign.contacts AS c ON c.id = m.contact_id`).Scan(&members, &orphans)
	if err != nil || members != 99 || orphans != 0 {
		t.Errorf("%d members, %d of nothing, want 99 and none (%v)", members, orphans, err)
	}
}

func TestAnInterruptedImportSaysSo(t *testing.T) {
	t.Parallel()
	store, _ := audienceStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := store.ImportContacts(ctx, postgres.ImportOptions{List: "l"}, func(yield func(campaign.ContactRow, error) bool) {
		for row := range manyRows(200_000) {
			if row.Number == 70_000 {
				cancel()
			}
			if !yield(row, nil) {
				return
			}
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
	if got := mustImport(t, store, postgres.ImportOptions{List: "l"}, manyRows(200_000)); got.Created+got.Unchanged != 200_000 || got.Updated != 0 {
		t.Errorf("the same rows again: %+v", got)
	}
}

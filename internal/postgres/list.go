package postgres

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

//go:embed sql/list_all.sql
var listAllSQL string

// Lists gives all lists with their sizes, by name.
func (s *Store) Lists(ctx context.Context) ([]campaign.List, error) {
	lists, err := collectStructs[campaign.List](s.pool.Query(ctx, listAllSQL, pgx.StrictNamedArgs{"name": nil}))
	if err != nil {
		return nil, fmt.Errorf("list the lists: %w", translate(err))
	}
	return lists, nil
}

// List finds a list by name. ErrNotFound says which there are.
func (s *Store) List(ctx context.Context, name string) (campaign.List, error) {
	lists, err := collectStructs[campaign.List](s.pool.Query(ctx, listAllSQL, pgx.StrictNamedArgs{"name": name}))
	if err != nil {
		return campaign.List{}, fmt.Errorf("read list %q: %w", name, translate(err))
	}
	if len(lists) == 1 {
		return lists[0], nil
	}
	names, err := collect[string](s.pool.Query(ctx, `SELECT name FROM campaign.lists ORDER BY name`))
	if err != nil {
		return campaign.List{}, fmt.Errorf("list the lists: %w", translate(err))
	}
	return campaign.List{}, notFound("list", name, names, "import one with: campaignctl contact import FILE --list NAME")
}

// DeleteList deletes a list and its memberships; the contacts stay. Campaigns
// that were planned from it keep their frozen audience: the open ones are
// returned, to be told.
func (s *Store) DeleteList(ctx context.Context, name string) (campaign.List, []campaign.ID, error) {
	deleted, err := s.List(ctx, name)
	if err != nil {
		return campaign.List{}, nil, err
	}
	var planned []campaign.ID
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var err error
		planned, err = collect[campaign.ID](tx.Query(ctx, `
			SELECT id FROM campaign.campaigns WHERE list_id = $1 AND state IN ('draft', 'scheduled', 'running') ORDER BY id`, deleted.ID))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM campaign.lists WHERE id = $1`, deleted.ID); err != nil {
			return err
		}
		return s.audit(ctx, tx, act{action: "delete", object: "list", id: int64(deleted.ID), name: deleted.Name})
	})
	if err != nil {
		return campaign.List{}, nil, fmt.Errorf("delete list %q: %w", name, translate(err))
	}
	return deleted, planned, nil
}

// openList finds or creates a list and makes sure that it has these columns, in
// a transaction of its own: a chunk that locked the list first and contacts
// afterwards would deadlock with one that notes its end on the list.
func (s *Store) openList(ctx context.Context, name string, columns []string) (campaign.ListID, error) {
	var id campaign.ListID
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO campaign.lists (name) VALUES ($1) ON CONFLICT (name) DO NOTHING`, name)
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT id FROM campaign.lists WHERE name = $1`, name).Scan(&id); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE campaign.lists AS l
			   SET columns = l.columns || ARRAY(SELECT c FROM unnest($2::text[]) WITH ORDINALITY AS u(c, n) WHERE c <> ALL(l.columns) ORDER BY n), updated_at = now()
			 WHERE id = $1 AND NOT l.columns @> $2::text[]`, id, columns)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("open list %q: %w", name, translate(err))
	}
	return id, nil
}

package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/plan_capped.sql
	planCappedSQL string
	//go:embed sql/plan_zones.sql
	planZonesSQL string
)

// capStream tells a plan who got how much marketing lately. It reads the people
// in the order of the plan's contacts, so that memory does not grow with them.
type capStream struct {
	caps  campaign.Caps
	start time.Time
	conn  *pgxpool.Conn
	rows  pgx.Rows
	key   string
	posts []time.Time
	done  bool
}

// cappedPeople opens the stream; nil where no cap holds. start is when the
// campaign begins.
func (s *Store) cappedPeople(ctx context.Context, in PlanInput, start time.Time) (*capStream, error) {
	rows, err := s.pool.Query(ctx, frequencyCapSQL)
	if err != nil {
		return nil, err
	}
	installation, err := scanCap(rows)
	if err != nil {
		return nil, err
	}
	c := &capStream{caps: campaign.Caps{Installation: installation, Own: in.Spec.FrequencyCap}, start: start}
	if c.caps.None() {
		return nil, nil //nolint:nilnil // nobody is capped
	}
	if c.conn, err = s.pool.Acquire(ctx); err != nil {
		return nil, err
	}
	// Who got fewer than the smallest number is capped by none of them.
	least := campaign.MaxCapMessages
	for _, f := range []*campaign.FrequencyCap{c.caps.Installation, c.caps.Own} {
		if f != nil {
			least = min(least, f.Messages)
		}
	}
	since := start.Add(-c.caps.Longest())
	var first, last campaign.MessageID
	err = c.conn.QueryRow(ctx, capBoundsSQL, pgx.StrictNamedArgs{"since": since}).Scan(&first, &last)
	if err == nil {
		c.rows, err = c.conn.Query(ctx, planCappedSQL, pgx.StrictNamedArgs{"list": in.List, "since": since, "least": least, "first": first, "last": last})
	}
	if err != nil {
		c.conn.Release()
		return nil, err
	}
	return c, nil
}

func (c *capStream) close() {
	if c != nil {
		c.rows.Close()
		c.conn.Release()
	}
}

// until gives when a person may get one more message, nil when that is at once,
// and what becomes of it until then. Keys must rise from call to call.
func (c *capStream) until(key string) (*time.Time, string, error) {
	if c == nil {
		return nil, "", nil
	}
	for !c.done && c.key < key {
		if !c.rows.Next() {
			c.done = true
			return nil, "", c.rows.Err()
		}
		if err := c.rows.Scan(&c.key, &c.posts); err != nil {
			return nil, "", err
		}
	}
	if c.key != key {
		return nil, "", nil
	}
	free, then := c.caps.FreeAt(c.posts, c.start)
	if !free.After(c.start) {
		return nil, then, nil
	}
	return &free, then, nil
}

// PlannedZones counts the messages of a plan that are to be sent by the zones of
// their people. It reads all of them.
func (s *Store) PlannedZones(ctx context.Context, id campaign.ID) ([]campaign.ZoneCount, error) {
	counts, err := collectStructs[campaign.ZoneCount](s.pool.Query(ctx, planZonesSQL, pgx.StrictNamedArgs{"campaign": id}))
	if err != nil {
		return nil, fmt.Errorf("count the time zones of campaign %d: %w", id, translate(err))
	}
	return counts, nil
}

// FrequencyCap gives the installation's cap, nil when there is none.
func (s *Store) FrequencyCap(ctx context.Context) (*campaign.FrequencyCap, error) {
	rows, err := s.pool.Query(ctx, frequencyCapSQL)
	if err != nil {
		return nil, fmt.Errorf("read the frequency cap: %w", translate(err))
	}
	found, err := scanCap(rows)
	if err != nil {
		return nil, fmt.Errorf("read the frequency cap: %w", translate(err))
	}
	return found, nil
}

// SetFrequencyCap sets the installation's cap, or removes it with nil. When it
// returns, it binds every later claim.
func (s *Store) SetFrequencyCap(ctx context.Context, c *campaign.FrequencyCap) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockExclusively(ctx, tx, peopleKey()); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM campaign.frequency_caps`); err != nil {
			return err
		}
		if c == nil {
			return s.audit(ctx, tx, act{action: "remove", object: "frequency cap"})
		}
		if err := s.audit(ctx, tx, act{action: "set", object: "frequency cap", detail: fmt.Sprintf("%d per %s, then %s", c.Messages, c.Per, c.Then)}); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO campaign.frequency_caps (messages, per, then_do) VALUES ($1, $2, $3)`, c.Messages, c.Per, c.Then)
		return err
	})
	if err != nil {
		return fmt.Errorf("set the frequency cap: %w", translate(err))
	}
	return nil
}

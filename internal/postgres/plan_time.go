package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
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
	//go:embed sql/cap_campaigns.sql
	capCampaignsSQL string
	//go:embed sql/cap_waiting.sql
	capWaitingSQL string
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
// returns, it binds every later claim, and what waited for the former one waits
// for this one. Setting the same cap again goes on where an interrupted call ended.
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
	if err := s.capChanged(ctx); err != nil {
		return fmt.Errorf("the frequency cap is set, but not all that waited for the former one was looked at; set it again: %w", translate(err))
	}
	return nil
}

// capChangedBatch is how many messages are looked at in one transaction, which
// locks their people as a claim does.
const capChangedBatch = 1000

// capChanged gives what waits for a frequency cap its new time, after the cap was
// committed: a claim that read the former one has committed before, and every
// later one reads the new one. So none is missed but those of a plan under way.
func (s *Store) capChanged(ctx context.Context) error {
	waiting, err := collectStructs[capWaiting](s.pool.Query(ctx, capCampaignsSQL))
	if err != nil {
		return err
	}
	for _, w := range waiting {
		priorities := []int16{priorityNormal}
		if w.Campaign == 0 {
			priorities = []int16{priorityHigh, priorityNormal, priorityLow}
		}
		for _, priority := range priorities {
			if err := s.capChangedIn(ctx, w, priority); err != nil {
				return err
			}
		}
	}
	return nil
}

// capWaiting is a campaign of which messages wait for a frequency cap; 0 are those
// of none.
type capWaiting struct {
	Campaign    campaign.ID
	First, Last campaign.MessageID
	Now         time.Time // of the database
}

func (s *Store) capChangedIn(ctx context.Context, w capWaiting, priority int16) error {
	due, after := w.Now, campaign.MessageID(0)
	for {
		rows, err := s.pool.Query(ctx, capWaitingSQL, pgx.StrictNamedArgs{"campaign": w.Campaign, "priority": priority, "first": w.First, "last": w.Last,
			"due": due, "after": after, "limit": capChangedBatch})
		if err != nil {
			return err
		}
		t := transition{people: true, busy: map[campaign.MessageID]bool{}, decide: func(m *lockedMessage, c campaign.Circumstances) { m.Message.CapChanged(c) }}
		_, err = pgx.ForEachRow(rows, []any{&after, &due}, func() error {
			t.ids = append(t.ids, after)
			return nil
		})
		if err != nil || len(t.ids) == 0 {
			return err
		}
		if err := s.routes(ctx, &t); err != nil {
			return err
		}
		// Who is kept by somebody else is asked again for a while.
		for until := time.Now().Add(peoplePatience); len(t.ids) > 0; {
			if _, err := s.run(ctx, t); err != nil {
				return err
			}
			if t.ids = slices.Sorted(maps.Keys(t.busy)); len(t.ids) > 0 {
				if time.Now().After(until) {
					return fmt.Errorf("%d messages are kept by somebody else's transaction", len(t.ids))
				}
				if err := sleep(ctx, peopleWait); err != nil {
					return err
				}
			}
		}
	}
}

package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/fanout_windowed.sql
	fanoutWindowedSQL string
	//go:embed sql/fanout_closed.sql
	fanoutClosedSQL string
)

// A part of the head of a campaign's line, and how many parts a pass looks at: a
// pass of fan-out must not keep the other campaigns waiting. 2,000 rows are some
// 40 ms, so that a million is out of the way within half a minute.
const (
	postponeBatch  = 2000
	postponeRounds = 5
)

// postpone moves due messages whose window is closed to its next opening, before
// fan-out takes them: after a pause, a slow rate or a late start a whole zone may
// be due at night, and every one of them would take a turn for nothing. The claim
// checks the window again. Only the head of the line is looked at, in the order
// in which fan-out takes it.
func (s *Store) postpone(ctx context.Context, channel campaign.ChannelID) error {
	rows, err := s.pool.Query(ctx, fanoutWindowedSQL, pgx.StrictNamedArgs{"channel": channel})
	if err != nil {
		return err
	}
	var c windowed
	var list []windowed
	_, err = pgx.ForEachRow(rows, []any{&c.id, &c.first, &c.last, &c.now}, func() error {
		list = append(list, c)
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range list {
		if err := s.times.learn(ctx, s.pool, []campaign.ID{c.id}, nil); err != nil {
			return err
		}
		closed := s.times.closed(c.id, c.now)
		if len(closed) == 0 {
			continue
		}
		for range postponeRounds {
			ids, err := collectIDs(s.pool.Query(ctx, fanoutClosedSQL, pgx.StrictNamedArgs{
				"campaign": c.id, "first": c.first, "last": c.last, "closed": closed, "limit": postponeBatch}))
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				break
			}
			_, err = s.run(ctx, transition{ids: ids, campaigns: []campaign.ID{c.id}, channels: []campaign.ChannelID{channel},
				decide: func(m *lockedMessage, at campaign.Circumstances) { m.Message.Postpone(at) }})
			if err != nil {
				return fmt.Errorf("postpone messages of campaign %d: %w", c.id, err)
			}
		}
	}
	return nil
}

// windowed is a running campaign that has a window.
type windowed struct {
	id          campaign.ID
	first, last campaign.MessageID
	now         time.Time // of the database
}

// closed lists the zone sets in which a campaign's window is closed now.
func (r *timeRules) closed(id campaign.ID, now time.Time) []campaign.ZoneSetID {
	r.mu.RLock()
	all := make([]campaign.ZoneSetID, 0, len(r.sets))
	for set := range r.sets {
		all = append(all, set)
	}
	r.mu.RUnlock()
	var closed []campaign.ZoneSetID
	for _, set := range all {
		if !r.hoursOf(id, set).Open(now) {
			closed = append(closed, set)
		}
	}
	return closed
}

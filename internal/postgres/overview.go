package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

//go:embed sql/overview.sql
var overviewSQL string

// Overview gives the whole installation in numbers, at a moment, in one statement
// whose cost does not grow with the number of messages.
func (s *Store) Overview(ctx context.Context) (campaign.Overview, error) {
	o := campaign.Overview{Campaigns: map[campaign.State]int64{}, Nodes: map[string]int64{}}
	rows, err := s.pool.Query(ctx, overviewSQL, pgx.StrictNamedArgs{"most": campaign.UnappliedMost, "lost": campaign.NodeLost.Seconds()})
	if err != nil {
		return o, fmt.Errorf("read the overview: %w", translate(err))
	}
	channels := map[string]*campaign.OverviewChannel{}
	slow := map[string]campaign.Slowdown{}
	now := time.Now() // of any clock: ages are the database's
	channel := func(name string) *campaign.OverviewChannel {
		if channels[name] == nil {
			channels[name] = &campaign.OverviewChannel{Name: name, Jobs: map[string]int64{}}
		}
		return channels[name]
	}
	var kind, name, label, source string
	var n float64
	_, err = pgx.ForEachRow(rows, []any{&kind, &name, &label, &source, &n}, func() error {
		switch kind {
		case "messages":
			o.Messages = append(o.Messages, campaign.OverviewMessages{Channel: name, State: campaign.MessageState(label), N: int64(n)})
		case "campaigns":
			o.Campaigns[campaign.State(label)] = int64(n)
		case "holds":
			o.Holds = append(o.Holds, campaign.OverviewHolds{Scope: campaign.HoldScope(label), Source: source, N: int64(n)})
		case "nodes":
			o.Nodes[label] = int64(n)
		case "channel":
			channel(name).Held = n > 0
		case "limit":
			channel(name).Limit = n
		case "slowdown":
			s := slow[name]
			switch label {
			case "rate":
				s.Rate = n
			case "refused":
				s.Refused = n
			case "quiet":
				s.QuietAt = now.Add(-seconds(n))
			}
			slow[name] = s
		case "jobs":
			channel(name).Jobs[label] = int64(n)
		case "leased":
			channel(name).Leased = n
		case "leases":
			channel(name).Leases = int64(n)
		case "due":
			channel(name).OldestDue = seconds(n)
		case "unapplied":
			o.Unapplied = int64(n)
		case "oldest":
			o.OldestUnapplied = seconds(n)
		case "unmatched":
			o.Unmatched = int64(n)
		}
		return nil
	})
	if err != nil {
		return o, fmt.Errorf("read the overview: %w", translate(err))
	}
	for _, c := range channels {
		c.Allowed = slow[c.Name].At(now, c.Limit).Allowed(c.Limit)
		o.Channels = append(o.Channels, *c)
	}
	return o, nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// PoolStats is how the connections of a pool are used. What counts counts since
// the program's start.
type PoolStats struct {
	Max, Acquired, Idle, Constructing int32

	Opened      int64         // connections, in all
	Acquires    int64         // by those who need one
	Waits       int64         // acquires that had to wait
	WaitedFor   time.Duration // by all of them together
	Interrupted int64         // acquires that were given up
}

// PoolStats tells how the store's connections are used.
func (s *Store) PoolStats() PoolStats {
	p := s.pool.Stat()
	return PoolStats{Max: p.MaxConns(), Acquired: p.AcquiredConns(), Idle: p.IdleConns(), Constructing: p.ConstructingConns(),
		Opened: p.NewConnsCount(), Acquires: p.AcquireCount(), Waits: p.EmptyAcquireCount(), WaitedFor: p.EmptyAcquireWaitTime(),
		Interrupted: p.CanceledAcquireCount()}
}

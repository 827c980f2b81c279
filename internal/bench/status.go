package bench

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

func statusBench() Bench {
	return Bench{
		Name: "status", Summary: "how long the status of a large campaign takes",
		Takes: []string{"messages"},
		Suite: []Options{{}},
		Quick: []Options{{Messages: 20_000}},
		Run:   runStatus,
	}
}

const (
	statusMessages = 10_000_000
	goalStatus     = 50 // ms
	statusQueries  = 500
	statusPrograms = 50
)

// runStatus looks at a campaign under way whose messages are in many states and
// wait for many reasons, while a channel of its account is held.
func runStatus(ctx context.Context, s *Session, o Options) (*Result, error) {
	line := o.line("status")
	o.Messages = cmp.Or(o.Messages, statusMessages)
	db, err := s.database(ctx)
	if err != nil {
		return nil, err
	}
	channel, err := db.channel(ctx, "bench", "http://127.0.0.1:1", 80)
	if err != nil {
		return nil, err
	}
	s.progress("making a plan of %d messages", o.Messages)
	if err := db.InventContacts(ctx, "first", 1, o.Messages, 1); err != nil {
		return nil, err
	}
	plan, err := db.plan(ctx, "bench", channel, "first", 0)
	if err != nil {
		return nil, err
	}
	if err := db.GrowPlan(ctx, plan.ID); err != nil {
		return nil, err
	}
	if _, _, err := db.Launch(ctx, plan.ID); err != nil {
		return nil, err
	}
	if err := db.Scatter(ctx, plan.ID); err != nil {
		return nil, err
	}
	if err := db.PauseChannel(ctx, channel.ID, "for the bench"); err != nil {
		return nil, err
	}
	if err := db.Settle(ctx); err != nil {
		return nil, err
	}
	s.progress("asking for its status")
	var queries, programs []time.Duration
	for range statusQueries {
		started := time.Now()
		status, err := db.Status(ctx, plan.ID)
		if err != nil {
			return nil, err
		}
		queries = append(queries, time.Since(started))
		if err := wholeStatus(status, o.Messages); err != nil {
			return nil, err
		}
	}
	for range statusPrograms {
		var status campaign.Status
		r, err := db.program(ctx, s, &status, "campaign", "status", fmt.Sprint(plan.ID), "--json")
		if err != nil {
			return nil, err
		}
		if err := wholeStatus(status, o.Messages); err != nil {
			return nil, err
		}
		programs = append(programs, r.elapsed)
	}
	result := &Result{Bench: line, Machine: db.machine, Goal: fmt.Sprintf("the status of %d messages in <= %d ms", o.Messages, goalStatus)}
	result.Add("the queries, median", milliseconds(quantile(queries, 0.5)), "ms")
	result.AtMost("the queries, 99th percentile", milliseconds(quantile(queries, 0.99)), "ms", goalStatus)
	result.AtMost("campaignctl campaign status --json, median", milliseconds(quantile(programs, 0.5)), "ms", goalStatus)
	result.Add("campaignctl campaign status --json, 99th percentile", milliseconds(quantile(programs, 0.99)), "ms")
	return result, nil
}

// wholeStatus fails unless the states of a status add up.
func wholeStatus(s campaign.Status, total int64) error {
	sum := int64(0)
	for _, n := range s.Counts {
		sum += n
	}
	if sum != total || len(s.Waiting) == 0 || len(s.Errors) == 0 || len(s.Holds) == 0 {
		return fmt.Errorf("the status of %d messages tells of %d, %d reasons to wait, %d errors and %d holds", total, sum, len(s.Waiting), len(s.Errors), len(s.Holds))
	}
	return nil
}

// quantile sorts.
func quantile(times []time.Duration, q float64) time.Duration {
	slices.Sort(times)
	return times[min(int(q*float64(len(times))), len(times)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

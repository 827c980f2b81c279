package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/sender"
)

func enqueueBench() Bench {
	return Bench{
		Name: "enqueue", Summary: "single messages of other services while a campaign waits, from commit to POST",
		Takes: []string{"messages", "workers", "rate", "sizes", "profile"},
		Suite: []Options{{}, {Rate: 80}},
		Quick: []Options{{Sizes: []int64{5_000}, Messages: 50}},
		Run:   runEnqueue,
	}
}

const (
	enqueueMessages = 1_000
	enqueueWaiting  = 1_000_000
	// enqueueEvery is the time from one message to the next on a channel without a
	// limit. On one with a limit it is two of its tokens, so that the half of them
	// is left for the campaign and no message waits for the one before.
	enqueueEvery = 15 * time.Millisecond
	// enqueueFirst: the campaign runs for so long before the first message.
	enqueueFirst = 3 * time.Second

	goalEnqueueMedian = 20 * time.Millisecond
	goalEnqueueSlow   = 100 * time.Millisecond // 99 of 100
)

// runEnqueue measures from just before the commit of campaign.enqueue, which is
// when a service lets go, to the POST at the sink.
func runEnqueue(ctx context.Context, s *Session, o Options) (*Result, error) {
	line := o.line("enqueue")
	waiting := int64(enqueueWaiting)
	switch len(o.Sizes) {
	case 0:
	case 1:
		waiting = o.Sizes[0]
	default:
		return nil, campaign.ErrInvalid.With("one campaign waits", "give --sizes once")
	}
	o.Messages = cmp.Or(o.Messages, enqueueMessages)
	o.Workers, o.Nodes = cmp.Or(o.Workers, sender.DefaultMaxWorkers), 1
	every, token := enqueueEvery, time.Duration(0)
	if o.Rate > 0 {
		token = time.Duration(float64(time.Second) / o.Rate)
		every = 2 * token
	}
	r := &sendRun{Session: s, o: o}
	if err := r.prepareEnqueue(ctx, waiting); err != nil {
		return nil, err
	}
	if err := r.startNodes(ctx); err != nil {
		return nil, err
	}
	if _, err := r.launch(ctx); err != nil {
		return nil, err
	}
	if err := pause(ctx, enqueueFirst); err != nil {
		return nil, err
	}
	s.progress("enqueuing %d messages, one every %v", o.Messages, every)
	commits, err := r.enqueue(ctx, waiting, every)
	if err != nil {
		return nil, err
	}
	ended := time.Now()
	left, err := r.db.Left(ctx, r.plan.ID)
	if err != nil {
		return nil, err
	}
	waits, campaignPosts, err := r.waits(ctx, commits, ended)
	if err != nil {
		return nil, err
	}
	if err := r.stopNodes(); err != nil {
		return nil, err
	}
	slices.Sort(waits)
	share := func(of float64) time.Duration { return waits[min(int(of*float64(len(waits))), len(waits)-1)] }
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	result := &Result{Bench: line, Machine: r.db.machine, Goal: fmt.Sprintf(
		"from commit to POST p50 <= %v, p99 <= %v, beside a campaign of %d", goalEnqueueMedian+token, goalEnqueueSlow+token, waiting)}
	if token > 0 {
		result.Goal += fmt.Sprintf("; of these %v until the next token", token)
	}
	result.Add("messages enqueued", float64(len(waits)), "")
	result.Add("messages of the campaign left at the end", float64(left), "")
	result.Add("speed of the campaign meanwhile", campaignPosts, "POST/s")
	result.AtMost("commit to POST, p50", ms(share(0.5)), "ms", ms(goalEnqueueMedian+token))
	result.Add("commit to POST, p90", ms(share(0.9)), "ms")
	result.AtMost("commit to POST, p99", ms(share(0.99)), "ms", ms(goalEnqueueSlow+token))
	result.Add("commit to POST, longest", ms(waits[len(waits)-1]), "ms")
	return result, nil
}

// prepareEnqueue plans a campaign for all but the last people, to whom messages
// are enqueued.
func (r *sendRun) prepareEnqueue(ctx context.Context, waiting int64) error {
	var err error
	if r.db, err = r.database(ctx); err != nil {
		return err
	}
	if r.sink, err = r.Session.sink(ctx, 0); err != nil {
		return err
	}
	if r.channel, err = r.db.channel(ctx, "bench", r.sink.url, r.o.Rate); err != nil {
		return err
	}
	r.progress("planning a campaign of %d messages", waiting)
	if err := r.db.InventContacts(ctx, "everybody", 1, waiting, 1); err != nil {
		return err
	}
	if r.plan, err = r.db.plan(ctx, "bench", r.channel, "everybody", 0); err != nil {
		return err
	}
	if err := r.db.GrowPlan(ctx, r.plan.ID); err != nil {
		return err
	}
	if err := r.db.InventContacts(ctx, "services", waiting+1, r.o.Messages, 1); err != nil {
		return err
	}
	return r.db.Settle(ctx)
}

// enqueue plays a service, and gives the moment of each commit by the hash of
// the message's opaque id.
func (r *sendRun) enqueue(ctx context.Context, waiting int64, every time.Duration) (map[uint64]time.Time, error) {
	commits := make(map[uint64]time.Time, r.o.Messages)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range r.o.Messages {
		id, at, err := r.db.Enqueue(ctx, r.channel.Name, templateName, "en_US", inventedPhone(waiting+1+i),
			[]byte(`{"body.1":"Ann"}`), fmt.Sprintf("bench-%d", i), "high")
		if err != nil {
			return nil, err
		}
		commits[hashOpaque(r.db.Opaque(id, 1))] = at
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
	return commits, nil
}

// inventedPhone is the n-th number that Store.InventContacts makes.
func inventedPhone(n int64) string { return fmt.Sprintf("+49151%08d", n) }

// lateFor is how long the last message may take to the sink.
const lateFor = 10 * time.Second

// waits gives the time from commit to POST of every enqueued message, and how
// fast the campaign went meanwhile.
func (r *sendRun) waits(ctx context.Context, commits map[uint64]time.Time, ended time.Time) ([]time.Duration, float64, error) {
	var first time.Time
	for _, at := range commits {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	for {
		all, err := r.sink.posts(ctx)
		if err != nil {
			return nil, 0, err
		}
		waits, others := make([]time.Duration, 0, len(commits)), 0
		for _, p := range all {
			if at, ours := commits[p.opaque]; ours {
				waits = append(waits, time.Unix(0, p.at).Sub(at))
			} else if p.at >= first.UnixNano() && p.at < ended.UnixNano() {
				others++
			}
		}
		switch {
		case len(waits) == len(commits):
			return waits, float64(others) / ended.Sub(first).Seconds(), nil
		case len(waits) > len(commits):
			return nil, 0, errors.New("the sink saw an enqueued message twice")
		case time.Since(ended) > lateFor:
			return nil, 0, fmt.Errorf("%d of %d enqueued messages did not reach the sink within %v", len(commits)-len(waits), len(commits), lateFor)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return nil, 0, err
		}
	}
}

package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/sender"
)

func launchBench() Bench {
	return Bench{
		Name: "launch", Summary: "what depends on the size of a plan: nothing should",
		Takes: []string{"messages", "workers", "rate", "sizes", "profile"},
		Suite: []Options{{}},
		Quick: []Options{{Sizes: []int64{1_000, 10_000}, Messages: 600, Rate: 300}},
		Run:   runLaunch,
	}
}

const (
	// launchMessages of each plan are sent: all plans have as many, and a campaign
	// rate that fan-out keeps, so that those of each are at the same point.
	launchMessages = 8_000
	launchRate     = 2_000
	// fanOutMessages are then queued without a limit, by plans that have half as
	// many or more.
	fanOutMessages = 200_000

	goalFirstPost = 2 * time.Second
	goalFanOut    = 40_000
)

// launched is what one plan showed.
type launched struct {
	first  time.Duration // from the launch to the first POST
	fanOut float64       // jobs per second; 0 where the plan was too small to tell
	cost
}

func runLaunch(ctx context.Context, s *Session, o Options) (*Result, error) {
	result := &Result{Bench: o.line("launch"), Goal: fmt.Sprintf(
		"first POST <= %v after launch, fan-out >= %d jobs/s, memory equal ± 20 %%, CPU and WAL per message equal ± 10 %%, whatever the size", goalFirstPost, goalFanOut)}
	if len(o.Sizes) == 0 {
		o.Sizes = []int64{10_000, 1_000_000, 10_000_000}
	}
	o.Messages, o.Rate = cmp.Or(o.Messages, launchMessages), cmp.Or(o.Rate, launchRate)
	o.Workers, o.Nodes = cmp.Or(o.Workers, sender.DefaultMaxWorkers), 1
	var first launched
	for i, size := range o.Sizes {
		if size < o.Messages {
			return nil, campaign.ErrInvalid.With(fmt.Sprintf("a plan of %d messages has fewer than are sent of each (%d)", size, o.Messages), "give fewer with --messages")
		}
		l, err := s.launchOne(ctx, result, size, o)
		if err != nil {
			return nil, fmt.Errorf("a plan of %d: %w", size, err)
		}
		of := "plan of " + short(size) + ": "
		result.AtMost(of+"first POST after launch", float64(l.first.Milliseconds()), "ms", float64(goalFirstPost.Milliseconds()))
		if l.fanOut > 0 {
			result.AtLeast(of+"fan-out without a limit", l.fanOut, "jobs/s", goalFanOut)
		}
		for j, name := range []string{"campaignd", "postgres"} {
			if l.CPU[j] >= 0 {
				result.Add(of+"CPU of "+name+" per 1,000", l.CPU[j], "s")
			}
		}
		result.Add(of+"WAL per 1,000", l.WAL/1000, "kB")
		result.Add(of+"peak memory of campaignd", float64(l.Memory)/1e6, "MB")
		if i == 0 {
			first = l
			continue
		}
		to := short(size) + " to " + short(o.Sizes[0]) + ": "
		if first.Memory > 0 {
			result.Within(to+"memory", float64(l.Memory)/float64(first.Memory), 0.2)
		}
		if first.CPU[0] > 0 && first.CPU[1] > 0 {
			result.Within(to+"CPU per message", (l.CPU[0]+l.CPU[1])/(first.CPU[0]+first.CPU[1]), 0.1)
		}
		result.Within(to+"WAL per message", l.WAL/first.WAL, 0.1)
	}
	return result, nil
}

// launchOne launches a plan of one size and looks at its beginning.
func (s *Session) launchOne(ctx context.Context, result *Result, size int64, o Options) (launched, error) {
	var l launched
	r := &sendRun{Session: s, o: o}
	var err error
	if r.db, err = s.database(ctx); err != nil {
		return l, err
	}
	result.Machine = r.db.machine
	if r.sink, err = s.sink(ctx, 0); err != nil {
		return l, err
	}
	if r.channel, err = r.db.channel(ctx, "bench", r.sink.url, 0); err != nil {
		return l, err
	}
	s.progress("making a plan of %d messages", size)
	if err := r.db.InventContacts(ctx, "first", 1, size, 1); err != nil {
		return l, err
	}
	if r.plan, err = r.db.plan(ctx, "bench", r.channel, "first", o.Rate); err != nil {
		return l, err
	}
	if err := r.db.GrowPlan(ctx, r.plan.ID); err != nil {
		return l, err
	}
	if err := r.db.Settle(ctx); err != nil {
		return l, err
	}
	s.progress("launching it")
	if err := r.startNodes(ctx); err != nil {
		return l, err
	}
	m, err := r.db.measure(ctx, r.sink.process, r.nodes...)
	if err != nil {
		return l, err
	}
	started, err := r.launch(ctx)
	if err != nil {
		return l, err
	}
	sent, err := r.waitPosts(ctx, o.Messages)
	if err != nil {
		return l, err
	}
	if l.cost, err = m.stop(ctx, sent); err != nil {
		return l, err
	}
	seenPosts, err := r.sink.posts(ctx)
	if err != nil {
		return l, err
	}
	l.first = seenPosts.first().Sub(started)
	if err := r.stopNodes(); err != nil {
		return l, err
	}
	if size >= fanOutMessages/2 {
		if l.fanOut, err = r.fanOut(ctx); err != nil {
			return l, err
		}
	}
	return l, errors.Join(r.sink.stop(time.Second), r.db.drop())
}

// waitPosts returns when the sink has seen n messages, and how many it has.
func (r *sendRun) waitPosts(ctx context.Context, n int64) (int64, error) {
	for started := time.Now(); ; {
		count, err := r.sink.count(ctx)
		if err != nil || count >= n {
			return count, err
		}
		if time.Since(started) > patience+time.Duration(float64(n)/r.o.Rate*float64(time.Second)) {
			return count, fmt.Errorf("only %d of %d messages were sent", count, n)
		}
		if err := pause(ctx, pollEvery); err != nil {
			return 0, err
		}
	}
}

// fanOut queues messages without a limit, as one node does it, and gives the
// jobs per second.
func (r *sendRun) fanOut(ctx context.Context) (float64, error) {
	if err := r.db.SetCampaignRate(ctx, r.plan.ID, 0); err != nil {
		return 0, err
	}
	queued := 0
	started := time.Now()
	for queued < fanOutMessages {
		n, err := r.db.FanOut(ctx, r.channel.ID, 10*fanOutMessages, fanOutSlice)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break
		}
		queued += n
	}
	return float64(queued) / time.Since(started).Seconds(), nil
}

// short writes 10000 as 10k.
func short(n int64) string {
	switch {
	case n%1_000_000 == 0:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n%1000 == 0:
		return fmt.Sprintf("%dk", n/1000)
	}
	return fmt.Sprint(n)
}

package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/sender"
)

func sendBench() Bench {
	return Bench{
		Name: "send", Summary: "a campaign, from launch to the last outcome committed",
		Takes: []string{"messages", "workers", "null", "latency", "rate", "nodes", "profile"},
		Suite: []Options{
			{},
			{Null: true},
			{Rate: 1000, Latency: 20 * time.Millisecond},
			{Rate: 80, Latency: 20 * time.Millisecond},
			{Rate: 1000, Nodes: 4},
		},
		Quick: []Options{
			{Messages: 2000},
			{Messages: 2000, Null: true},
			{Messages: 600, Rate: 200, Latency: 5 * time.Millisecond},
		},
		Run: runSend,
	}
}

// Defaults of the send family.
const (
	sendMessages    = 200_000
	nodeConnections = 20 // of campaignd run
	goalSend        = 0.5
	goalNull        = 0.6
	ceilingMost     = 100_000 // messages of one measurement of a ceiling
)

func runSend(ctx context.Context, s *Session, o Options) (*Result, error) {
	line := o.line("send")
	if o.Workers == 0 {
		o.Workers = sender.DefaultMaxWorkers
	}
	o.Nodes = max(o.Nodes, 1)
	switch {
	case o.Null && o.Rate > 0:
		return nil, campaign.ErrInvalid.With("a limit is seen at the sink, which --null does without", "leave out --null or --rate")
	case o.Rate > 0 && o.Nodes > 1:
		seconds := (untilKill + killGrace + afterKill + spare).Seconds()
		o.Messages = cmp.Or(o.Messages, int64(o.Rate*seconds))
		return s.sendKilled(ctx, line, o)
	case o.Rate > 0:
		o.Messages = cmp.Or(o.Messages, int64(o.Rate*limitedFor))
		return s.sendLimited(ctx, line, o)
	}
	o.Messages = cmp.Or(o.Messages, sendMessages)
	return s.sendUnlimited(ctx, line, o)
}

// sendRun is a database with a planned campaign, and who sends it.
type sendRun struct {
	*Session
	o       Options
	db      *database
	sink    *provider // nil with the null provider
	channel campaign.Channel
	plan    campaign.Launched
	nodes   []*process
}

// prepare makes everything up to the launch.
func (s *Session) prepare(ctx context.Context, o Options) (*sendRun, error) {
	r := &sendRun{Session: s, o: o}
	var err error
	if r.db, err = s.database(ctx); err != nil {
		return nil, err
	}
	base := "http://127.0.0.1:1" // nobody
	if !o.Null {
		if r.sink, err = s.sink(ctx, o.Latency); err != nil {
			return nil, err
		}
		base = r.sink.url
	}
	if r.channel, err = r.db.channel(ctx, "bench", base, o.Rate); err != nil {
		return nil, err
	}
	s.progress("planning %d messages", o.Messages)
	if err := r.db.InventContacts(ctx, "everybody", 1, o.Messages, o.Messages); err != nil {
		return nil, err
	}
	if r.plan, err = r.db.plan(ctx, "bench", r.channel, "everybody", 0); err != nil {
		return nil, err
	}
	return r, r.db.Settle(ctx)
}

// startNodes starts the daemons and waits until they work the channel.
func (r *sendRun) startNodes(ctx context.Context) error {
	for i := range r.o.Nodes {
		config := nodeConfig{URL: r.db.url, Connections: nodeConnections, Workers: r.o.Workers, Null: r.o.Null, Latency: r.o.Latency}
		if r.o.Profile != "" {
			folder, err := filepath.Abs(r.o.Profile)
			if err != nil {
				return err
			}
			config.Profile = filepath.Join(folder, fmt.Sprintf("node-%d.cpu.pprof", i+1))
		}
		var ready nodeReady
		p, err := r.start(ctx, childNode, config, &ready)
		if err != nil {
			return err
		}
		r.nodes = append(r.nodes, p)
	}
	// A node takes up its channels when it starts, and shares settle a renewal
	// later.
	return pause(ctx, 3*time.Second)
}

func (r *sendRun) stopNodes() error {
	var err error
	for _, n := range r.nodes {
		err = errors.Join(err, n.stop(childGrace))
	}
	return err
}

// sinkProcess is nil with the null provider.
func (r *sendRun) sinkProcess() *process {
	if r.sink == nil {
		return nil
	}
	return r.sink.process
}

// launch starts the campaign and gives the moment just before.
func (r *sendRun) launch(ctx context.Context) (time.Time, error) {
	started := time.Now()
	_, begun, err := r.db.Launch(ctx, r.plan.ID)
	if err == nil && !begun {
		err = fmt.Errorf("campaign %d was launched already", r.plan.ID)
	}
	return started, err
}

const (
	// pollEvery bounds the error of an elapsed time.
	pollEvery = 20 * time.Millisecond
	// patience is how long nothing may happen: what a killed process held runs
	// again within 90 s (design §4.10).
	patience = 100 * time.Second
)

// wait returns when nothing of the campaign is left to do, and when that was.
func (r *sendRun) wait(ctx context.Context) (time.Time, error) {
	said, moved, before := time.Now(), time.Now(), int64(-1)
	for {
		left, err := r.db.Left(ctx, r.plan.ID)
		if err != nil {
			return time.Time{}, err
		}
		if left == 0 {
			return time.Now(), nil
		}
		if left != before {
			moved, before = time.Now(), left
		}
		if time.Since(moved) > patience {
			return time.Time{}, fmt.Errorf("%d of %d messages are left, and nothing happened for %v", left, r.plan.Eligible, patience)
		}
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			r.progress("%d of %d messages left", left, r.plan.Eligible)
		}
		if err := pause(ctx, pollEvery); err != nil {
			return time.Time{}, err
		}
	}
}

// accepted fails unless every message was accepted, and by the sink once.
func (r *sendRun) accepted(ctx context.Context) (posts, error) {
	status, err := r.db.Status(ctx, r.plan.ID)
	if err != nil {
		return nil, err
	}
	if n := status.Counts[campaign.Accepted]; n != r.plan.Eligible {
		return nil, fmt.Errorf("%d of %d messages were accepted: %v", n, r.plan.Eligible, status.Counts)
	}
	if r.sink == nil {
		return nil, nil
	}
	seenPosts, err := r.sink.posts(ctx)
	if err != nil {
		return nil, err
	}
	if n := int64(len(seenPosts)); n != r.plan.Eligible || seenPosts.repeated() > 0 {
		return nil, fmt.Errorf("the sink saw %d POSTs of %d messages, %d of them again", n, r.plan.Eligible, seenPosts.repeated())
	}
	return seenPosts, nil
}

// sendUnlimited is the speed of a channel without a limit, beside its ceiling.
func (s *Session) sendUnlimited(ctx context.Context, line string, o Options) (*Result, error) {
	r, err := s.prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	ceiling := r.bare
	result := &Result{Bench: line, Machine: r.db.machine,
		Goal: fmt.Sprintf("%d messages on one channel without a limit at >= %s x a bare HTTP client", o.Messages, number(goalSend))}
	name, unit, least := "bare HTTP client", "POST/s", goalSend
	if o.Null {
		if ceiling, err = r.noops(ctx); err != nil {
			return nil, err
		}
		result.Goal = fmt.Sprintf("%d messages to a provider in the process at >= %s x River without messages", o.Messages, number(goalNull))
		name, unit, least = "River no-op", "jobs/s", goalNull
	}
	before, err := ceiling(ctx)
	if err != nil {
		return nil, err
	}
	if r.sink != nil {
		if err := r.sink.forget(ctx); err != nil {
			return nil, err
		}
	}
	s.progress("sending %d messages", o.Messages)
	if err := r.startNodes(ctx); err != nil {
		return nil, err
	}
	m, err := r.db.measure(ctx, r.sinkProcess(), r.nodes...)
	if err != nil {
		return nil, err
	}
	started, err := r.launch(ctx)
	if err != nil {
		return nil, err
	}
	ended, err := r.wait(ctx)
	if err != nil {
		return nil, err
	}
	costs, err := m.stop(ctx, o.Messages)
	if err != nil {
		return nil, err
	}
	seenPosts, err := r.accepted(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.stopNodes(); err != nil {
		return nil, err
	}
	after, err := ceiling(ctx)
	if err != nil {
		return nil, err
	}
	speed := float64(o.Messages) / ended.Sub(started).Seconds()
	result.Add("messages", float64(o.Messages), "")
	result.Add("elapsed, launch to last outcome", ended.Sub(started).Seconds(), "s")
	result.Add("speed", speed, "messages/s")
	if seenPosts != nil {
		result.Add("first POST after launch", seenPosts.first().Sub(started).Seconds()*1000, "ms")
		result.Add("speed between first and last POST", seenPosts.rate(), "POST/s")
	}
	result.Add(name+", before", before, unit)
	result.Add(name+", after", after, unit)
	result.addCost(costs)
	result.Ratio("speed to "+name, speed/((before+after)/2), least)
	return result, nil
}

// bare measures a bare HTTP client on the same sink: the same body over as many
// connections.
func (r *sendRun) bare(ctx context.Context) (float64, error) {
	before, after, err := r.db.bareBody(ctx, r.channel)
	if err != nil {
		return 0, err
	}
	n := min(r.o.Messages, ceilingMost)
	r.progress("measuring a bare HTTP client with %d POSTs", n)
	p, err := r.start(ctx, childPost, posterConfig{URL: r.sink.url + "/messages", Before: before, After: after, Count: n, Connections: r.o.Workers}, &struct{}{})
	if err != nil {
		return 0, err
	}
	var done posterDone
	if err := p.read(ctx, &done); err != nil {
		return 0, err
	}
	return float64(n) / done.Elapsed.Seconds(), p.stop(time.Second)
}

// noops gives the measurement of River alone, each time on a campaign of its own
// in a database of its own, because nobody ends those messages.
func (r *sendRun) noops(ctx context.Context) (func(context.Context) (float64, error), error) {
	n := min(r.o.Messages, ceilingMost)
	return func(ctx context.Context) (float64, error) {
		db, err := r.database(ctx)
		if err != nil {
			return 0, err
		}
		channel, err := db.channel(ctx, "noop", "http://127.0.0.1:1", 0)
		if err != nil {
			return 0, err
		}
		if err := db.InventContacts(ctx, "everybody", 1, n, n); err != nil {
			return 0, err
		}
		if err := db.MakePartitions(ctx, n); err != nil {
			return 0, err
		}
		plan, err := db.plan(ctx, "noop", channel, "everybody", 0)
		if err != nil {
			return 0, err
		}
		if err := db.Settle(ctx); err != nil {
			return 0, err
		}
		if _, _, err := db.Launch(ctx, plan.ID); err != nil {
			return 0, err
		}
		r.progress("measuring River without messages with %d jobs", n)
		p, err := r.start(ctx, childNoop, noopConfig{URL: db.url, Connections: nodeConnections, Workers: r.o.Workers, Channel: channel.ID, Jobs: n}, &struct{}{})
		if err != nil {
			return 0, err
		}
		var done noopDone
		if err := p.read(ctx, &done); err != nil {
			return 0, err
		}
		if err := p.stop(childGrace); err != nil {
			return 0, err
		}
		return float64(n) / done.Elapsed.Seconds(), db.drop()
	}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

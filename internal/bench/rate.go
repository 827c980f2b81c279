package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// The goals of a channel's limit: used to the last message, and never exceeded.
const (
	goalRate = 0.99
	// limitedFor is how many seconds of the limit a run sends by default.
	limitedFor = 30
)

// bound is how many POSTs any second may hold: the limit and a little, because
// each node counts time by itself and what left evenly may arrive bunched.
func bound(rate float64, nodes int) float64 {
	return rate + max(float64(nodes), 0.05*rate)
}

// sendLimited uses a limit to the last message.
func (s *Session) sendLimited(ctx context.Context, line string, o Options) (*Result, error) {
	r, err := s.prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	s.progress("sending %d messages at %v a second", o.Messages, o.Rate)
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
	result := &Result{Bench: line, Machine: r.db.machine,
		Goal: fmt.Sprintf(">= %v of %v messages a second, and never more than %v in any second", goalRate, o.Rate, bound(o.Rate, o.Nodes))}
	result.Add("messages", float64(o.Messages), "")
	result.Add("elapsed, launch to last outcome", ended.Sub(started).Seconds(), "s")
	result.Add("first POST after launch", seenPosts.first().Sub(started).Seconds()*1000, "ms")
	result.Add("speed between first and last POST", seenPosts.rate(), "POST/s")
	result.AtMost("most POSTs within a second", float64(seenPosts.most(time.Second)), "", bound(o.Rate, o.Nodes))
	result.addCost(costs)
	result.Ratio("speed to the limit", seenPosts.rate()/o.Rate, goalRate)
	return result, nil
}

// The course of a run with nodes that die: half of them are killed after
// untilKill; their share is back after killGrace (the leases end after 6 s, a
// renewal takes 2), and then the limit is used again.
const (
	untilKill = 20 * time.Second
	killGrace = 15 * time.Second
	afterKill = 20 * time.Second
	// spare messages keep the survivors at work to the end of the measurement: what
	// the dead nodes' workers held runs again only after 90 s (design §4.10).
	spare = 10 * time.Second
)

// sendKilled kills half of the nodes half-way.
func (s *Session) sendKilled(ctx context.Context, line string, o Options) (*Result, error) {
	r, err := s.prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	s.progress("sending %d messages at %v a second from %d processes", o.Messages, o.Rate, o.Nodes)
	if err := r.startNodes(ctx); err != nil {
		return nil, err
	}
	started, err := r.launch(ctx)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, untilKill); err != nil {
		return nil, err
	}
	killed := time.Now()
	for _, n := range r.nodes[:o.Nodes/2] {
		n.kill()
	}
	s.progress("killed %d of %d processes", o.Nodes/2, o.Nodes)
	if err := pause(ctx, killGrace+afterKill); err != nil {
		return nil, err
	}
	measured := time.Now()
	if n, err := r.sink.count(ctx); err != nil || n >= r.plan.Eligible {
		return nil, fmt.Errorf("all %d messages were sent before the measurement ended; give more with --messages (%w)", n, err)
	}
	s.progress("waiting for what the dead processes held")
	if _, err := r.wait(ctx); err != nil {
		return nil, err
	}
	status, err := r.db.Status(ctx, r.plan.ID)
	if err != nil {
		return nil, err
	}
	all, err := r.sink.posts(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.stopNodes(); err != nil {
		return nil, err
	}
	accepted, unknown := status.Counts[campaign.Accepted], status.Counts[campaign.Unknown]
	if accepted+unknown != r.plan.Eligible || int64(len(all)) < accepted || int64(len(all)) > r.plan.Eligible {
		return nil, fmt.Errorf("%d messages do not add up: the sink saw %d POSTs: %v", r.plan.Eligible, len(all), status.Counts)
	}
	// From the first POST: the start is measured by other benches.
	before := all.between(all.first(), killed)
	after := all.between(killed.Add(killGrace), measured)
	over := func(p posts, d time.Duration) float64 { return float64(len(p)) / d.Seconds() / o.Rate }

	result := &Result{Bench: line, Machine: r.db.machine, Goal: fmt.Sprintf(
		"%d of %d processes are killed: >= %v of %v messages a second outside the %v after it, never more than %v in any second, nobody twice",
		o.Nodes/2, o.Nodes, goalRate, o.Rate, killGrace, bound(o.Rate, o.Nodes))}
	result.Add("messages", float64(o.Messages), "")
	result.Add("first POST after launch", all.first().Sub(started).Seconds()*1000, "ms")
	result.Add("speed in the time after the kill", float64(len(all.between(killed, killed.Add(killGrace))))/killGrace.Seconds(), "POST/s")
	result.Add("back at the limit after the kill", backAfter(all, killed, measured, o.Rate).Seconds(), "s")
	result.AtMost("most POSTs within a second", float64(all.most(time.Second)), "", bound(o.Rate, o.Nodes))
	result.AtMost("POSTs with an opaque id seen before", float64(all.repeated()), "", 0)
	result.Add("unknown, on the wire of the killed", float64(unknown), "")
	result.Ratio("speed to the limit before the kill", over(before, killed.Sub(all.first())), goalRate)
	result.Ratio("speed to the limit after the 15 s", over(after, measured.Sub(killed.Add(killGrace))), goalRate)
	return result, nil
}

// backWindow evens out what single seconds show.
const backWindow = 3 * time.Second

// backAfter is how long after a kill the limit was used again: from then on there
// are goalRate of it in any backWindow.
func backAfter(p posts, killed, until time.Time, rate float64) time.Duration {
	back := until
	for at := until.Add(-backWindow); !at.Before(killed); at = at.Add(-100 * time.Millisecond) {
		if float64(len(p.between(at, at.Add(backWindow)))) < goalRate*rate*backWindow.Seconds() {
			break
		}
		back = at
	}
	return back.Sub(killed)
}

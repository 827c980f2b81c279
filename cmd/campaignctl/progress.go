package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/campaignd/campaignd/internal/campaign"
)

// progressEvery is how often progress is told where there is no terminal.
const progressEvery = 5 * time.Second

// counter tells how far something of unknown length has come: on a terminal as a
// line that changes, elsewhere as a line every few seconds. A quiet program
// tells nothing.
type counter struct {
	n    atomic.Int64
	what string
	stop chan struct{}
	done chan struct{}
}

// counter starts telling; finish must be called.
func (p *program) counter(what string) *counter {
	ct := &counter{what: what, stop: make(chan struct{}), done: make(chan struct{})}
	go ct.tell(p)
	return ct
}

func (ct *counter) add(n int64) { ct.n.Add(n) }

func (ct *counter) finish() {
	close(ct.stop)
	<-ct.done
}

func (ct *counter) tell(p *program) {
	defer close(ct.done)
	every := progressEvery
	var bar *progressbar.ProgressBar
	if !p.quiet && terminal(p.stderr) {
		every = 200 * time.Millisecond
		bar = newBar(p.stderr, -1, ct.what)
		defer bar.Clear() //nolint:errcheck // decoration
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ct.stop:
			return
		case <-ticker.C:
		}
		if bar != nil {
			bar.Set64(ct.n.Load()) //nolint:errcheck // decoration
			continue
		}
		p.note("%s %s so far", count(ct.n.Load()), ct.what)
	}
}

// newBar draws on a terminal; a total below 0 is unknown.
func newBar(w io.Writer, total int64, what string) *progressbar.ProgressBar {
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(30),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionEnableColorCodes(false),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetPredictTime(false),
	)
}

// follower tells how a campaign gets on while somebody waits for it.
type follower struct {
	p    *program
	bar  *progressbar.ProgressBar
	last time.Time
	done bool
}

func (p *program) follower() *follower { return &follower{p: p} }

func (f *follower) show(s campaign.Status) {
	if f.p.quiet {
		return
	}
	funnel := campaign.FunnelOf(s)
	handed := funnel.Eligible - funnel.Waiting
	if !terminal(f.p.stderr) {
		if now := time.Now(); now.Sub(f.last) >= progressEvery {
			f.last = now
			f.p.note("%s", progressLine(s))
		}
		return
	}
	if f.bar == nil {
		f.bar = newBar(f.p.stderr, max(funnel.Eligible, 1), "")
	}
	what := string(s.State)
	if len(s.Holds) > 0 {
		what += ": " + oneLine(s.Holds[0].Reason)
	} else if s.Rate.Now > 0 {
		what = fmt.Sprintf("%s, %.0f/s", what, s.Rate.Now)
		if s.Paced {
			what += " (slowed while WhatsApp assesses the template)"
		}
	}
	f.bar.Describe(what)
	f.bar.Set64(handed) //nolint:errcheck // decoration
}

// finish removes the bar; it may be called twice.
func (f *follower) finish() {
	if f.bar != nil && !f.done {
		f.bar.Clear() //nolint:errcheck // decoration
	}
	f.done = true
}

// Package bench measures campaignd: throughput, rates and what they cost, each
// beside a ceiling that is measured in the same run. It runs what ships: nodes
// are processes of package daemon, messages travel over HTTP to a sink that is a
// process of its own, and Postgres keeps what it commits. It must not know flags
// or terminals, and nobody imports it but a command: a benchmark is a reader of
// the product, never a part of it.
//
// A bench is one file here and one line in Benches. It gets a Session, which
// starts databases, sinks and nodes and removes them, and returns a Result.
package bench

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Options are what a bench may be told; the zero value of each means the bench's
// own default. Bench.Takes says which of them it looks at.
type Options struct {
	Messages int64         // how many messages are sent
	Workers  int           // messages under way at a time on a channel and node
	Null     bool          // a provider that answers in the process instead of HTTP
	Latency  time.Duration // of the provider's answers
	Rate     float64       // of the channel, messages per second; 0: no limit
	Nodes    int           // processes that send
	Profile  string        // a folder for CPU profiles of the nodes
	Sizes    []int64       // of plans
	Batch    int           // statuses in a request of the provider
}

// line is the command that runs a bench with these options.
func (o Options) line(name string) string {
	words := []string{name}
	add := func(set bool, flag string, value any) {
		if set {
			words = append(words, strings.TrimSpace(fmt.Sprint(flag, " ", value)))
		}
	}
	add(o.Messages > 0, "--messages", o.Messages)
	add(o.Workers > 0, "--workers", o.Workers)
	add(o.Null, "--null", "")
	add(o.Latency > 0, "--latency", o.Latency)
	add(o.Rate > 0, "--rate", o.Rate)
	add(o.Nodes > 0, "--nodes", o.Nodes)
	add(o.Batch > 0, "--batch", o.Batch)
	for _, n := range o.Sizes {
		add(true, "--sizes", n)
	}
	return strings.Join(words, " ")
}

// Bench is one benchmark.
type Bench struct {
	Name    string
	Summary string   // half a sentence
	Takes   []string // the options it looks at, named as flags: messages, workers …
	// Suite is what "campaignctl bench" without a name runs: the rows of the table
	// of goals. Quick is a form of a few seconds that proves that the bench works;
	// its figures mean nothing.
	Suite []Options
	Quick []Options
	Run   func(ctx context.Context, s *Session, o Options) (*Result, error)
}

// Find gives the benches of these names in the order of Benches, all of them
// without a name.
func Find(names []string) ([]Bench, error) {
	all := Benches()
	if len(names) == 0 {
		return all, nil
	}
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	var found []Bench
	known := make([]string, len(all))
	for i, b := range all {
		known[i] = b.Name
		if wanted[b.Name] {
			found = append(found, b)
			delete(wanted, b.Name)
		}
	}
	for _, n := range names {
		if wanted[n] {
			return nil, campaign.ErrNotFound.With(fmt.Sprintf("there is no bench %q", n), "one of "+strings.Join(known, ", "))
		}
	}
	return found, nil
}

// Config of a Session.
type Config struct {
	// DatabaseURL is a server on which databases named campaign_bench_… are made
	// and dropped. Empty: a server of our own in a temporary home.
	DatabaseURL string
	// Settings are for the server of our own, over those that it has by default.
	Settings map[string]string
	// Command runs this program as a child of a bench: the words before the name
	// of the child's kind (see Child).
	Command []string
	Stderr  io.Writer // of children
	// Progress tells a person what is going on.
	Progress func(format string, args ...any)
	Commit   string // of the program
}

package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/campaignd/campaignd/internal/campaign"
)

const (
	// overviewFor is how long a reading of the database is good: several scrapers,
	// or a person who reloads the page, cost one statement together.
	overviewFor = 5 * time.Second
	// overviewTimeout bounds a scrape while the database does not answer; it ends
	// before Prometheus gives up (10 s by default), so that what the node knows by
	// itself is still told.
	overviewTimeout = 3 * time.Second
)

// installation collects what only the database knows. Every node reads the same
// and tells the same: take the max() over the nodes, never the sum.
type installation struct {
	descriptions
	read func(context.Context) (campaign.Overview, error)

	mu   sync.Mutex // one reading at a time
	last campaign.Overview
	at   time.Time
	took time.Duration
	err  error
}

type descriptions struct {
	up, readSeconds                   *prometheus.Desc
	messages, campaigns, holds        *prometheus.Desc
	held, jobs, due                   *prometheus.Desc
	limit, allowed, slowed            *prometheus.Desc
	leased, leases, nodes             *prometheus.Desc
	unapplied, oldest, unmatchedCount *prometheus.Desc
}

const everywhere = " From the database, the same on every node: use max(), not sum()."

func describeInstallation() descriptions {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	}
	return descriptions{
		up:          d("overview_up", "1 when the database answered the question behind the metrics that are the same on every node; without it they are absent."),
		readSeconds: d("overview_read_seconds", "How long the database took for that answer. It is kept for 5 s."),
		messages:    d("messages", "Messages by channel and state, those of drafts left out; every state of a channel that has any."+everywhere, "channel", "state"),
		campaigns:   d("campaigns", "Campaigns by state; paused while a hold stands on one of a running or scheduled campaign's scopes."+everywhere, "state"),
		holds:       d("holds", "Holds that stand, by scope and source."+everywhere, "scope", "source"),
		nodes:       d("nodes", "Daemons on this database by state: running, or lost (silent for 15 s and not stopped cleanly)."+everywhere, "state"),
		held:        d("channel_held", "1 while a hold stands on the channel or its account."+everywhere, "channel"),
		jobs:        d("queue_jobs", "Jobs of the channel's queues by River's state, the finished ones left out."+everywhere, "channel", "state"),
		limit:       d("channel_limit_messages_per_second", "The channel's rate over all nodes; 0 is no limit."+everywhere, "channel"),
		allowed:     d("channel_allowed_messages_per_second", "What is left of it for all nodes while the provider asked to slow down; 0 is no limit."+everywhere, "channel"),
		slowed:      d("channel_slowed", "1 while the channel goes slower than its rate because the provider asked for it."+everywhere, "channel"),
		leased:      d("channel_leased_messages_per_second", "What all nodes together may be using of the channel's rate."+everywhere, "channel"),
		leases:      d("channel_leases", "How many nodes lease a share of the channel's rate."+everywhere, "channel"),
		due:         d("oldest_due_seconds", "For how long the first due message that nothing holds has waited for a job; large while a long list is sent at a low rate."+everywhere, "channel"),
		unapplied:   d("webhooks_unapplied", "Stored webhooks that are not yet applied, counted up to 100,000."+everywhere),
		oldest:      d("webhook_oldest_unapplied_seconds", "Age of the oldest of them."+everywhere),
		unmatchedCount: d("webhook_statuses_waiting", "Statuses that match no message and are tried again for an hour."+
			everywhere),
	}
}

// Describe implements prometheus.Collector.
func (i *installation) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{i.up, i.readSeconds, i.messages, i.campaigns, i.holds, i.nodes, i.held, i.jobs, i.limit, i.allowed, i.slowed, i.leased, i.leases, i.due,
		i.unapplied, i.oldest, i.unmatchedCount} {
		ch <- d
	}
}

// overview gives a reading of at most overviewFor ago, a failed one included.
func (i *installation) overview() (campaign.Overview, time.Duration, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.at.IsZero() || time.Since(i.at) >= overviewFor {
		ctx, cancel := context.WithTimeout(context.Background(), overviewTimeout)
		defer cancel()
		begun := time.Now()
		i.last, i.err = i.read(ctx)
		i.at, i.took = time.Now(), time.Since(begun)
	}
	return i.last, i.took, i.err
}

// Collect implements prometheus.Collector.
func (i *installation) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	o, took, err := i.overview()
	gauge(i.up, number(err == nil))
	gauge(i.readSeconds, seconds(took))
	if err != nil {
		return
	}
	messages := map[string]map[campaign.MessageState]int64{}
	for _, m := range o.Messages {
		if messages[m.Channel] == nil {
			messages[m.Channel] = map[campaign.MessageState]int64{}
		}
		messages[m.Channel][m.State] += m.N
	}
	for channel, states := range messages {
		for _, state := range campaign.MessageStates { // zeros too: an alert needs something to compare
			gauge(i.messages, float64(states[state]), channel, string(state))
		}
	}
	for _, state := range campaign.States {
		gauge(i.campaigns, float64(o.Campaigns[state]), string(state))
	}
	for _, h := range o.Holds {
		gauge(i.holds, float64(h.N), string(h.Scope), h.Source)
	}
	for _, state := range []string{campaign.NodeRunning, campaign.NodeIsLost} {
		gauge(i.nodes, float64(o.Nodes[state]), state)
	}
	for _, c := range o.Channels {
		gauge(i.held, number(c.Held), c.Name)
		gauge(i.limit, c.Limit, c.Name)
		gauge(i.allowed, c.Allowed, c.Name)
		gauge(i.slowed, number(c.Allowed != c.Limit), c.Name)
		gauge(i.leased, c.Leased, c.Name)
		gauge(i.leases, float64(c.Leases), c.Name)
		gauge(i.due, seconds(c.OldestDue), c.Name)
		for _, state := range []string{"available", "running", "retryable", "scheduled", "pending"} {
			gauge(i.jobs, float64(c.Jobs[state]), c.Name, state)
		}
	}
	gauge(i.unapplied, float64(o.Unapplied))
	gauge(i.oldest, seconds(o.OldestUnapplied))
	gauge(i.unmatchedCount, float64(o.Unmatched))
}

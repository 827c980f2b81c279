package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// node collects what this node is at the moment of a scrape, without asking the
// database.
type node struct {
	Sources
	build, role, ready                                        *prometheus.Desc
	usable, share, lease, busy, workers                       *prometheus.Desc
	connections, connectionsMax, opened                       *prometheus.Desc
	acquires, acquireWaits, acquireWaitSeconds, interruptions *prometheus.Desc
}

func newNode(s Sources) *node {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	}
	return &node{
		Sources: s,
		build:   d("build_info", "1, with the program's version.", "version"),
		role:    d("node_role", "1 for each role of this node.", "role"),
		ready:   d("node_ready", "1 while this node takes work."),

		share:   d("channel_share_messages_per_second", "What this node leased of the channel's rate; the sum over the nodes never passes the limit. +Inf without one.", "channel"),
		lease:   d("channel_share_lease_seconds", "For how long that share is still good; it is renewed every 2 s and lasts 6 s. Below 0 nothing is sent.", "channel"),
		usable:  d("channel_usable_messages_per_second", "What this node may send of a limited channel now: its share, 0 without a lease, and less until the other nodes know that the provider asked to slow down.", "channel"),
		busy:    d("channel_turns", "Turns under way on this node.", "channel"),
		workers: d("channel_workers", "How many turns of the channel this node may have under way at a time.", "channel"),

		connections:        d("pool_connections", "Connections to the database by state: acquired, idle or constructing.", "state"),
		connectionsMax:     d("pool_max_connections", "How many connections to the database this node may open."),
		opened:             d("pool_connections_opened_total", "Connections to the database that were opened."),
		acquires:           d("pool_acquires_total", "How often somebody took a connection."),
		acquireWaits:       d("pool_acquire_waits_total", "How often somebody had to wait for one."),
		acquireWaitSeconds: d("pool_acquire_wait_seconds_total", "How long they waited, all together."),
		interruptions:      d("pool_acquires_interrupted_total", "How often somebody gave up waiting for one."),
	}
}

// Describe implements prometheus.Collector.
func (n *node) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{n.build, n.role, n.ready, n.usable, n.share, n.lease, n.busy, n.workers,
		n.connections, n.connectionsMax, n.opened, n.acquires, n.acquireWaits, n.acquireWaitSeconds, n.interruptions} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (n *node) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value)
	}
	gauge(n.build, 1, n.Version)
	for _, role := range slices.Compact(slices.Sorted(slices.Values(n.Roles))) {
		gauge(n.role, 1, role)
	}
	gauge(n.ready, number(n.Ready()))
	for _, f := range n.Flows() {
		if f.Leased {
			gauge(n.share, f.Share, f.Channel)
			gauge(n.lease, seconds(f.Lease), f.Channel)
		}
		if f.Limit > 0 || f.Now > 0 {
			gauge(n.usable, f.Now, f.Channel)
		}
		gauge(n.busy, float64(f.Busy), f.Channel)
		gauge(n.workers, float64(f.Workers), f.Channel)
	}
	p := n.Pool()
	gauge(n.connections, float64(p.Acquired), "acquired")
	gauge(n.connections, float64(p.Idle), "idle")
	gauge(n.connections, float64(p.Constructing), "constructing")
	gauge(n.connectionsMax, float64(p.Max))
	counter(n.opened, float64(p.Opened))
	counter(n.acquires, float64(p.Acquires))
	counter(n.acquireWaits, float64(p.Waits))
	counter(n.acquireWaitSeconds, seconds(p.WaitedFor))
	counter(n.interruptions, float64(p.Interrupted))
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

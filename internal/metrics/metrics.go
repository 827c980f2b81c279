// Package metrics shows a running campaignd from outside: Prometheus metrics of
// what this node does, of its connections, and of the whole installation as the
// database knows it.
//
// Labels are names of channels, states and outcomes; never a phone number, a
// parameter, a key or anything else of which there is no end. The package knows
// those that it measures, and none of them knows it: they are observed through
// interfaces of their own, or through Store, which stands in their way to the
// database. It decides nothing, and nothing waits for it.
package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/sender"
)

// Metrics is a registry of its own with everything a daemon counts. Several may
// live in one process.
type Metrics struct {
	registry *prometheus.Registry

	turns     *prometheus.CounterVec   // channel, result
	sends     *prometheus.CounterVec   // channel, answer, class
	stages    *prometheus.HistogramVec // channel, stage
	fannedOut *prometheus.CounterVec   // channel

	batchElements *prometheus.HistogramVec // operation
	batchSeconds  *prometheus.HistogramVec // operation
	batchErrors   *prometheus.CounterVec   // operation

	requests       *prometheus.CounterVec // channel, code
	requestSeconds prometheus.Histogram
	applied        *prometheus.CounterVec   // channel
	applyLag       *prometheus.HistogramVec // channel
	statuses       *prometheus.CounterVec   // channel
	unmatched      *prometheus.CounterVec   // channel
	replies        *prometheus.CounterVec   // channel
	lost           *prometheus.CounterVec   // channel

	logs [2]prometheus.Counter // warnings and errors

	// names of channels by id: the store's methods are told ids.
	names sync.Map
}

// Sources are what is looked at when somebody scrapes.
type Sources struct {
	// Overview reads the database; see Metrics.New for how often it is asked.
	Overview func(context.Context) (campaign.Overview, error)
	Pool     func() postgres.PoolStats
	Flows    func() []sender.Flow
	Ready    func() bool
	Version  string   // of the program
	Roles    []string // of this node
}

// stageBuckets span a claim of an idle database (1 ms) and the longest POST (20 s).
var stageBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20}

// elementBuckets span a batch of one and the largest there is.
var elementBuckets = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000}

// lagBuckets span a webhook that is applied at once and one that waited for the
// database to come back.
var lagBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800}

// New gives the metrics of a node. Call Watch before anybody scrapes.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(h)
		return h
	}
	m.turns = counter("turns_total",
		"Turns of messages that ended on this node: claimed (a POST follows) or refused (by the claim: paused, cancelled, opted out).",
		"channel", "result")
	m.sends = counter("sends_total",
		"Claimed turns by what is known after the POST: accepted, held, failed, in_doubt (a POST was or may have been made and was not understood), unreachable or abandoned (nothing was written). class says what becomes of a failed one and is empty otherwise.",
		"channel", "answer", "class")
	m.stages = histogram("send_stage_seconds",
		"Time of a turn's stages: limiter (until it lets the turn go; an idle channel has one a second), claim and outcome (until committed, the wait for the batch included), pace (from claim to POST), post (until the answer).",
		stageBuckets, "channel", "stage")
	m.fannedOut = counter("fan_out_messages_total", "Messages that this node gave a job.", "channel")

	m.batchElements = histogram("batch_elements",
		"Elements of a batched transaction: claim, record (outcomes), store_webhooks and apply_webhooks (deliveries), fan_out (messages).",
		elementBuckets, "operation")
	m.batchSeconds = histogram("batch_seconds", "Time of a batched transaction, its repetitions included.", stageBuckets, "operation")
	m.batchErrors = counter("batch_errors_total", "Batched transactions that failed for good.", "operation")

	m.requests = counter("webhook_requests_total",
		"Requests of webhooks by status code; channel is empty for a name that is no channel of ours.", "channel", "code")
	requestSeconds := histogram("webhook_request_seconds", "Time until a webhook was answered, its commit included.", stageBuckets)
	m.requestSeconds = requestSeconds.WithLabelValues().(prometheus.Histogram)
	m.applied = counter("webhooks_applied_total", "Stored webhooks that this node applied.", "channel")
	m.applyLag = histogram("webhook_apply_lag_seconds",
		"Time from a webhook's storing to the commit of what it says, by the clocks of database and node.", lagBuckets, "channel")
	m.statuses = counter("webhook_statuses_total", "Statuses of messages in applied webhooks, repetitions included.", "channel")
	m.unmatched = counter("webhook_statuses_unmatched_total",
		"Statuses of these that matched no message when they came; they are tried again for an hour.", "channel")
	m.replies = counter("webhook_replies_total", "Inbound messages in applied webhooks.", "channel")
	m.lost = counter("webhook_lost_attempts_total",
		"Statuses about attempts that the database does not know: it lost what it had committed. Anything above 0 is an alarm.", "channel")

	logs := counter("log_records_total", "Log lines of a level: warn or error.", "level")
	m.logs = [2]prometheus.Counter{logs.WithLabelValues("warn"), logs.WithLabelValues("error")}
	return m
}

const namespace = "campaignd"

// Watch adds what is looked at when somebody scrapes.
func (m *Metrics) Watch(s Sources) {
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newNode(s),
		&installation{read: s.Overview, descriptions: describeInstallation()},
	)
}

// Registry is what a scrape gathers.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// know remembers the names of channels.
func (m *Metrics) know(channels []campaign.Channel) {
	for _, c := range channels {
		if known, ok := m.names.Load(c.ID); !ok || known != c.Name {
			m.names.Store(c.ID, c.Name)
		}
	}
}

// name gives a channel's name; the daemon lists the channels before anything
// happens on one.
func (m *Metrics) name(id campaign.ChannelID) string {
	name, ok := m.names.Load(id)
	if !ok {
		return ""
	}
	return name.(string)
}

func seconds(d time.Duration) float64 { return d.Seconds() }

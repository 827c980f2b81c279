package bench

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/sender"
)

func webhookBench() Bench {
	return Bench{
		Name: "webhook", Summary: "statuses of a million messages in any order, while a campaign sends",
		Takes: []string{"messages", "batch", "rate", "profile"},
		Suite: []Options{{Batch: 1}, {Batch: 50}, {Batch: 1000}},
		Quick: []Options{{Messages: 500, Batch: 1, Rate: 50}, {Messages: 5_000, Batch: 50, Rate: 50}},
		Run:   runWebhook,
	}
}

const (
	webhookMessages = 1_000_000 // three statuses each
	webhookBatch    = 50
	webhookRate     = 200 // messages per second that a campaign sends meanwhile
	webhookSending  = 100_000
	// The provider's connections: a few dozen for single statuses, few for batches.
	webhookConnections      = 32
	webhookBatchConnections = 8

	goalApplied  = 30_000
	goalRequests = 6_000
	goalAnswer   = 100 // ms
)

// statusWords are what becomes of a message that is read.
func statusWords() [3]string { return [3]string{"sent", "delivered", "read"} }

// webhookRun is a database whose messages were accepted, and a node that sends
// others.
type webhookRun struct {
	*sendRun
	accepted campaign.Launched
	first    int64  // message id
	opaque   string // the deployment and a slash
	order    []uint32
	batch    int
	url      string
}

func runWebhook(ctx context.Context, s *Session, o Options) (*Result, error) {
	line := o.line("webhook")
	o.Messages, o.Batch, o.Rate = cmp.Or(o.Messages, webhookMessages), cmp.Or(o.Batch, webhookBatch), cmp.Or(o.Rate, webhookRate)
	o.Workers, o.Nodes = sender.DefaultMaxWorkers, 1
	w, err := s.prepareWebhooks(ctx, o)
	if err != nil {
		return nil, err
	}
	statuses := int64(len(w.order))
	goal := fmt.Sprintf("%d statuses, %d a request, applied at >= %d/s; answers within %d ms (p99)", statuses, o.Batch, goalApplied, goalAnswer)
	if o.Batch == 1 {
		goal = fmt.Sprintf("%d statuses, one a request, at >= %d requests/s; answers within %d ms (p99)", statuses, goalRequests, goalAnswer)
	}
	result := &Result{Bench: line, Goal: goal, Machine: w.db.machine}
	m, err := w.db.measure(ctx, w.sink.process, w.nodes...)
	if err != nil {
		return nil, err
	}
	sent, err := w.sink.count(ctx)
	if err != nil {
		return nil, err
	}
	s.progress("posting %d statuses, %d a request", statuses, o.Batch)
	started := time.Now()
	answers, err := w.post(ctx)
	if err != nil {
		return nil, err
	}
	posted := time.Since(started)
	if err := w.applied(ctx); err != nil {
		return nil, err
	}
	elapsed := time.Since(started)
	sentSince, err := w.sink.count(ctx)
	if err != nil {
		return nil, err
	}
	costs, err := m.stop(ctx, statuses)
	if err != nil {
		return nil, err
	}
	requests, applied := float64(len(answers))/posted.Seconds(), float64(statuses)/elapsed.Seconds()
	if o.Batch == 1 {
		result.AtLeast("requests", requests, "/s", goalRequests)
		result.Add("statuses applied", applied, "/s")
	} else {
		result.Add("requests", requests, "/s")
		result.AtLeast("statuses applied", applied, "/s", goalApplied)
	}
	result.Add("statuses stored", float64(statuses)/posted.Seconds(), "/s")
	result.Add("applied after the last answer", (elapsed - posted).Seconds(), "s")
	result.Add("answer, median", milliseconds(quantile(answers, 0.5)), "ms")
	result.AtMost("answer, 99th percentile", milliseconds(quantile(answers, 0.99)), "ms", goalAnswer)
	result.Ratio("rate of the campaign meanwhile", float64(sentSince-sent)/elapsed.Seconds()/o.Rate, 0)
	result.addCost(costs)
	return result, nil
}

// prepareWebhooks makes a campaign whose messages were all accepted, and starts
// another one on a channel of its own.
func (s *Session) prepareWebhooks(ctx context.Context, o Options) (*webhookRun, error) {
	r := &sendRun{Session: s, o: o}
	w := &webhookRun{sendRun: r, batch: o.Batch}
	var err error
	if r.db, err = s.database(ctx); err != nil {
		return nil, err
	}
	if r.sink, err = s.sink(ctx, 0); err != nil {
		return nil, err
	}
	silent, err := r.db.channel(ctx, "statuses", r.sink.url, 0)
	if err != nil {
		return nil, err
	}
	if r.channel, err = r.db.channel(ctx, "sending", r.sink.url, o.Rate); err != nil {
		return nil, err
	}
	s.progress("making %d accepted messages", o.Messages)
	if err := r.db.InventContacts(ctx, "everybody", 1, o.Messages, o.Messages); err != nil {
		return nil, err
	}
	if w.accepted, err = r.db.plan(ctx, "accepted", silent, "everybody", 0); err != nil {
		return nil, err
	}
	if _, _, err := r.db.Launch(ctx, w.accepted.ID); err != nil {
		return nil, err
	}
	if err := r.db.AcceptAll(ctx, w.accepted.ID); err != nil {
		return nil, err
	}
	stored, err := r.db.Campaign(ctx, strconv.FormatInt(int64(w.accepted.ID), 10))
	if err != nil {
		return nil, err
	}
	w.first, w.opaque = int64(stored.FirstID), r.db.Deployment()+"/"
	if int64(stored.LastID-stored.FirstID)+1 != o.Messages {
		return nil, fmt.Errorf("the messages of campaign %d do not follow each other", w.accepted.ID)
	}
	if err := r.db.InventContacts(ctx, "others", o.Messages+1, webhookSending, webhookSending); err != nil {
		return nil, err
	}
	if r.plan, err = r.db.plan(ctx, "sending", r.channel, "others", 0); err != nil {
		return nil, err
	}
	if err := r.db.Settle(ctx); err != nil {
		return nil, err
	}
	// Every status of every message, in one order that is the same in every run.
	w.order = make([]uint32, 3*o.Messages)
	for i := range w.order {
		w.order[i] = uint32(i)
	}
	shuffle := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // an order, no secret
	shuffle.Shuffle(len(w.order), func(i, j int) { w.order[i], w.order[j] = w.order[j], w.order[i] })

	if w.url, err = r.startWebhookNode(ctx); err != nil {
		return nil, err
	}
	if _, err := r.launch(ctx); err != nil {
		return nil, err
	}
	return w, pause(ctx, 5*time.Second) // until it goes at its rate
}

// startWebhookNode starts the daemon and gives the address for its webhooks.
func (r *sendRun) startWebhookNode(ctx context.Context) (string, error) {
	config := nodeConfig{URL: r.db.url, Connections: nodeConnections, Workers: r.o.Workers}
	if r.o.Profile != "" {
		folder, err := filepath.Abs(r.o.Profile)
		if err != nil {
			return "", err
		}
		config.Profile = filepath.Join(folder, "webhook.cpu.pprof")
	}
	var ready nodeReady
	p, err := r.start(ctx, childNode, config, &ready)
	if err != nil {
		return "", err
	}
	r.nodes = append(r.nodes, p)
	return ready.URL + "/webhooks/statuses", nil
}

// post sends all statuses and gives how long each answer took.
func (w *webhookRun) post(ctx context.Context) ([]time.Duration, error) {
	connections := webhookConnections
	if w.batch > 1 {
		connections = webhookBatchConnections
	}
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	took := make([][]time.Duration, connections)
	var wg sync.WaitGroup
	for i := range connections {
		wg.Go(func() {
			var body []byte
			for ctx.Err() == nil {
				from := int(next.Add(1)-1) * w.batch
				if from >= len(w.order) {
					return
				}
				body = w.appendBody(body[:0], w.order[from:min(from+w.batch, len(w.order))])
				started := time.Now()
				if err := w.postOne(ctx, client, body); err != nil {
					cancel(err)
					return
				}
				took[i] = append(took[i], time.Since(started))
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var all []time.Duration
	for _, some := range took {
		all = append(all, some...)
	}
	return all, nil
}

func (w *webhookRun) postOne(ctx context.Context, client *http.Client, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+benchKey)
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("post statuses: %w", err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return fmt.Errorf("post statuses: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("post statuses: %s", answer.Status)
	}
	return nil
}

// appendBody writes a delivery as the provider does (whatsapp-facts §6).
func (w *webhookRun) appendBody(to []byte, statuses []uint32) []byte {
	to = append(to, `{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messaging_product":"whatsapp",`+
		`"metadata":{"display_phone_number":"49300000000","phone_number_id":"1"},"statuses":[`...)
	words := statusWords()
	for i, status := range statuses {
		if i > 0 {
			to = append(to, ',')
		}
		message, word := int64(status/3), words[status%3]
		to = append(to, `{"id":"wamid.`...)
		to = strconv.AppendInt(to, w.first+message, 10)
		to = append(to, `","status":"`...)
		to = append(to, word...)
		to = append(to, `","timestamp":"`...)
		to = strconv.AppendInt(to, 1_790_000_000+int64(status%3), 10)
		to = append(to, `","recipient_id":"49151`...)
		to = fmt.Appendf(to, "%08d", message+1)
		to = append(to, `","biz_opaque_callback_data":"`...)
		to = append(to, w.opaque...)
		to = strconv.AppendInt(to, w.first+message, 10)
		to = append(to, `/1"`...)
		if word != "read" {
			to = append(to, `,"conversation":{"id":"c0ffee","origin":{"type":"marketing"}},"pricing":{"billable":true,"pricing_model":"PMP","type":"regular","category":"marketing"}`...)
		}
		to = append(to, '}')
	}
	return append(to, `]}}]}]}`...)
}

// applied waits until every message is known to be read.
func (w *webhookRun) applied(ctx context.Context) error {
	moved, before, said := time.Now(), int64(-1), time.Now()
	for {
		status, err := w.db.Status(ctx, w.accepted.ID)
		if err != nil {
			return err
		}
		n := status.Counts[campaign.Read]
		if n == w.o.Messages {
			return nil
		}
		if n != before {
			moved, before = time.Now(), n
		}
		if time.Since(moved) > patience {
			return fmt.Errorf("%d of %d messages are read, and nothing happened for %v: %v", n, w.o.Messages, patience, status.Counts)
		}
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			w.progress("%d of %d messages are read", n, w.o.Messages)
		}
		if err := pause(ctx, pollEvery); err != nil {
			return err
		}
	}
}

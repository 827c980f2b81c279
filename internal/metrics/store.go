package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

// Store is the database with its batched transactions measured. The sending half
// and the webhooks take it in the place of the store itself.
type Store struct {
	*postgres.Store
	metrics *Metrics

	claim, record, save, apply, fanOut operation
}

// operation is a batched transaction's own counters, found once.
type operation struct {
	elements, seconds prometheus.Observer
	errors            prometheus.Counter
}

// Store measures a store.
func (m *Metrics) Store(s *postgres.Store) *Store {
	op := func(name string) operation {
		return operation{m.batchElements.WithLabelValues(name), m.batchSeconds.WithLabelValues(name), m.batchErrors.WithLabelValues(name)}
	}
	return &Store{Store: s, metrics: m, claim: op("claim"), record: op("record"),
		save: op("store_webhooks"), apply: op("apply_webhooks"), fanOut: op("fan_out")}
}

// done notes a transaction of n elements that began at a time.
func (o operation) done(begun time.Time, n int, err error) {
	if err != nil {
		o.errors.Inc()
		return
	}
	o.elements.Observe(float64(n))
	o.seconds.Observe(seconds(time.Since(begun)))
}

// Channels remembers how the channels are called.
func (s *Store) Channels(ctx context.Context) ([]campaign.Channel, error) {
	channels, err := s.Store.Channels(ctx)
	s.metrics.know(channels)
	return channels, err
}

// FanOut counts the messages that got a job.
func (s *Store) FanOut(ctx context.Context, channel campaign.ChannelID, jobs, slice int) (int, error) {
	begun := time.Now()
	n, err := s.Store.FanOut(ctx, channel, jobs, slice)
	if n > 0 || err != nil { // most find nothing to do
		s.fanOut.done(begun, n, err)
	}
	if n > 0 {
		s.metrics.fannedOut.WithLabelValues(s.metrics.name(channel)).Add(float64(n))
	}
	return n, err
}

// Take measures the batch, of the messages that it found.
func (s *Store) Take(ctx context.Context, wants []campaign.Want) ([]campaign.Taken, error) {
	begun := time.Now()
	taken, err := s.Store.Take(ctx, wants)
	found := 0
	for _, t := range taken {
		if t.Message != 0 {
			found++
		}
	}
	if found > 0 || err != nil { // an idle channel is asked once a second
		s.claim.done(begun, found, err)
	}
	return taken, err
}

// Record measures the batch.
func (s *Store) Record(ctx context.Context, outcomes []campaign.Outcome) error {
	begun := time.Now()
	err := s.Store.Record(ctx, outcomes)
	s.record.done(begun, len(outcomes), err)
	return err
}

// SaveDeliveries measures the batch.
func (s *Store) SaveDeliveries(ctx context.Context, ds []campaign.Delivery) error {
	begun := time.Now()
	err := s.Store.SaveDeliveries(ctx, ds)
	s.save.done(begun, len(ds), err)
	return err
}

// ApplyDeliveries measures the batch, counts what was in it, and notes how long
// each delivery lay.
func (s *Store) ApplyDeliveries(ctx context.Context, channel campaign.ChannelID, ds []campaign.Parsed) (campaign.Applied, error) {
	begun := time.Now()
	applied, err := s.Store.ApplyDeliveries(ctx, channel, ds)
	s.apply.done(begun, len(ds), err)
	if err != nil {
		return applied, err // nothing of it counts: it is applied again
	}
	m, name, now := s.metrics, s.metrics.name(channel), time.Now()
	m.applied.WithLabelValues(name).Add(float64(len(ds)))
	m.statuses.WithLabelValues(name).Add(float64(applied.Statuses))
	m.unmatched.WithLabelValues(name).Add(float64(applied.Unmatched))
	m.replies.WithLabelValues(name).Add(float64(applied.Replies))
	m.lost.WithLabelValues(name).Add(float64(applied.Lost))
	lag := m.applyLag.WithLabelValues(name)
	for _, d := range ds {
		lag.Observe(max(0, seconds(now.Sub(d.ReceivedAt))))
	}
	return applied, nil
}

package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/sender"
)

// channelObserver holds a channel's own counters, found once: on the way of a
// message no label is looked up. All of it together costs a message less than a
// microsecond (BenchmarkObserver).
type channelObserver struct {
	claimed, refused prometheus.Counter
	stages           [sender.Stages]prometheus.Observer
	answers          map[outcome]prometheus.Counter // written by nobody any more
	other            prometheus.Counter
}

// outcome is an answer with, of a failed one, its class.
type outcome struct {
	kind  campaign.AnswerKind
	class campaign.Class
}

// outcomes lists every answer there is, so that each is shown from the start: a
// counter that appears with its first failure hides that failure from rate().
func outcomes() []outcome {
	return []outcome{
		{campaign.AnswerAccepted, ""}, {campaign.AnswerHeld, ""}, {campaign.AnswerUnreachable, ""},
		{campaign.AnswerAbandoned, ""}, {campaign.AnswerInDoubt, ""},
		{campaign.AnswerFailed, campaign.RetryClass}, {campaign.AnswerFailed, campaign.SlowDown},
		{campaign.AnswerFailed, campaign.Final}, {campaign.AnswerFailed, campaign.PauseTemplate},
		{campaign.AnswerFailed, campaign.PauseChannel}, {campaign.AnswerFailed, campaign.PauseAccount},
	}
}

// Channel gives the observer of a channel's turns; asked again for the same
// channel it goes on counting.
func (m *Metrics) Channel(c campaign.Channel) sender.Observer {
	m.know([]campaign.Channel{c})
	o := &channelObserver{
		claimed: m.turns.WithLabelValues(c.Name, "claimed"),
		refused: m.turns.WithLabelValues(c.Name, "refused"),
		answers: map[outcome]prometheus.Counter{},
		other:   m.sends.WithLabelValues(c.Name, string(campaign.AnswerFailed), "other"),
	}
	for stage := range o.stages {
		o.stages[stage] = m.stages.WithLabelValues(c.Name, sender.Stage(stage).String())
	}
	for _, a := range outcomes() {
		o.answers[a] = m.sends.WithLabelValues(c.Name, string(a.kind), string(a.class))
	}
	m.fannedOut.WithLabelValues(c.Name)
	return o
}

// Stage implements sender.Observer.
func (o *channelObserver) Stage(stage sender.Stage, took time.Duration) {
	o.stages[stage].Observe(seconds(took))
}

// Refused implements sender.Observer.
func (o *channelObserver) Refused() { o.refused.Inc() }

// Answered implements sender.Observer.
func (o *channelObserver) Answered(a campaign.Answer) {
	o.claimed.Inc()
	of := outcome{kind: a.Kind}
	if a.Kind == campaign.AnswerFailed {
		of.class = a.Failure.Class
	}
	if c, ok := o.answers[of]; ok {
		c.Inc()
		return
	}
	o.other.Inc()
}

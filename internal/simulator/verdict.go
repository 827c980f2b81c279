package simulator

import (
	"slices"
	"time"
)

// fault is what happens to the HTTP exchange itself.
type fault string

const (
	faultNone      fault = ""
	faultCutBefore fault = "cut_before"
	faultCutAfter  fault = "cut_after"
	faultSlow      fault = "slow"
	faultHalf      fault = "half_answer"
	faultEmpty502  fault = "empty_502"
	faultHTML504   fault = "html_504"
	faultGarbage   fault = "garbage_200"
	faultNoID      fault = "no_id_200"
	faultError200  fault = "error_200"
	faultRedirect  fault = "redirect_307"
	faultGateway   fault = "gateway_throttle"
	faultGateway5  fault = "gateway_500"
)

// takes tells whether the message was accepted although the client is not told:
// those are the faults that make a re-send a second message.
func (f fault) takes() bool {
	switch f {
	case faultNone, faultCutAfter, faultSlow, faultHalf, faultHTML504, faultGarbage, faultNoID:
		return true
	}
	return false
}

// statusKind is a status of a message as webhooks report it.
type statusKind uint8

const (
	statusSent statusKind = iota
	statusDelivered
	statusRead
	statusFailed
)

var statusNames = [...]string{"sent", "delivered", "read", "failed"}

// step is one status webhook to come.
type step struct {
	kind  statusKind
	code  int32         // of a failed
	after time.Duration // when it happened, from acceptance
	lag   time.Duration // how much later it is reported
}

// verdict is what becomes of one send.
type verdict struct {
	fault     fault
	refused   *refusal
	word      string // message_status
	script    []step
	hidePhone bool // statuses carry no phone number, only the BSUID
}

// The words of message_status (whatsapp-facts §3).
const (
	wordAccepted = "accepted"
	wordHeld     = "held_for_quality_assessment"
	wordPaused   = "paused"
)

// delays are the times a profile takes between the events of a message.
type delays struct {
	sent, delivered, read, failed, held, late [2]time.Duration // least and most, each from the one before
}

var (
	quick = delays{
		sent: span(10, 40), delivered: span(40, 160), read: span(100, 400),
		failed: span(50, 200), held: span(2_000, 4_000), late: span(3_000, 6_000),
	}
	natural = delays{
		sent: span(200, 2_000), delivered: span(500, 10_000), read: span(3_000, 600_000),
		failed: span(500, 6_000), held: span(60_000, 1_800_000), late: span(60_000, 600_000),
	}
)

func span(low, high int64) [2]time.Duration {
	return [2]time.Duration{time.Duration(low) * time.Millisecond, time.Duration(high) * time.Millisecond}
}

func (d *dice) in(s [2]time.Duration) time.Duration {
	return time.Duration(d.between(int64(s[0]), int64(s[1])))
}

// teller writes the script of a message.
type teller struct {
	delays *delays
	dice   dice
}

// arrives is the usual course up to the given status.
func (t *teller) arrives(last statusKind) []step {
	script := make([]step, 0, 3)
	at := t.dice.in(t.delays.sent)
	script = append(script, step{kind: statusSent, after: at})
	if last >= statusDelivered {
		at += t.dice.in(t.delays.delivered)
		script = append(script, step{kind: statusDelivered, after: at})
	}
	if last >= statusRead {
		at += t.dice.in(t.delays.read)
		script = append(script, step{kind: statusRead, after: at})
	}
	return script
}

// fails is a message that was accepted and failed with a code.
func (t *teller) fails(code int) []step {
	return []step{{kind: statusFailed, code: int32(code), after: t.dice.in(t.delays.failed)}}
}

// later moves a whole script: a message that was held first.
func (t *teller) later(script []step) []step {
	wait := t.dice.in(t.delays.held)
	for i := range script {
		script[i].after += wait
	}
	return script
}

// twice reports every status a second time, a little or much later.
func (t *teller) twice(script []step) []step {
	for _, s := range slices.Clone(script) {
		s.lag += t.dice.in(t.delays.delivered)
		script = append(script, s)
	}
	return script
}

// reversed reports the statuses in the opposite order; each keeps its own time.
func (t *teller) reversed(script []step) []step {
	if len(script) == 0 {
		return script
	}
	end := script[len(script)-1].after
	for i := range script {
		gap := time.Duration(len(script)-1-i) * t.delays.sent[0]
		script[i].lag = end - script[i].after + gap
	}
	return script
}

// late holds back the report of one status.
func (t *teller) late(script []step) []step {
	if len(script) > 0 {
		script[t.dice.below(uint64(len(script)))].lag += t.dice.in(t.delays.late)
	}
	return script
}

// sortScript puts the steps in the order in which they are reported.
func sortScript(script []step) {
	slices.SortStableFunc(script, func(a, b step) int {
		return int(a.after + a.lag - b.after - b.lag)
	})
}

package campaign

import "time"

// Report is what a webhook says of one attempt of a message.
type Report struct {
	Attempt    int    // 0 when the event had no opaque id and the provider id is of the row's attempt
	Status     string // the provider's word
	ProviderID string
	At         time.Time
	Failure    *Failure // of a failed status
}

// Failed reports whether the provider says that the message did not arrive.
func (r Report) Failed() bool {
	proof, _ := proofOf(r.Status)
	return proof == ProofFailed
}

func (r Report) failure() Failure {
	if r.Failure == nil {
		return Failure{Code: "unknown", Class: Final}
	}
	return *r.Failure
}

// Report applies a webhook's status. Events may come in any order, any number of
// times and for any attempt; the end is the same.
func (m *Message) Report(r Report, c Circumstances) Change {
	proof, known := proofOf(r.Status)
	if !known {
		return Change{}
	}
	if r.At.IsZero() {
		r.At = c.Now
	}
	if r.Attempt == 0 {
		r.Attempt = m.Posted
	}
	var change Change
	switch {
	case r.Attempt > m.Posted && !m.calledOff(r.Attempt):
		// The provider knows an attempt whose claim the row does not: apply it, do
		// not send, raise the alarm.
		change.LostCommits = true
		m.Attempt = max(m.Attempt, r.Attempt)
		m.Posted, m.Posts = r.Attempt, m.Posts+1
		m.Proof, m.ProviderID, m.ClaimID, m.RawStatus = ProofNone, "", ClaimID{}, ""
	case r.Attempt != m.Posted:
		return m.reportFormer(r, proof, c)
	}
	if m.ProviderID == "" {
		m.ProviderID = r.ProviderID
	}
	m.times(proof, r.At)
	if proof <= m.Proof {
		return change
	}
	if proof == ProofFailed {
		failed := m.failReported(r.failure(), c)
		failed.LostCommits = change.LostCommits
		return failed
	}
	m.climb(proof, c.Now)
	return change
}

// calledOff reports whether a later attempt than the row's current one is known
// all the same: a resend that was posted before a sign of life of an earlier
// attempt made that one current again.
func (m *Message) calledOff(attempt int) bool {
	return m.Resends > 0 && attempt <= m.Attempt && !(m.State == Queued && attempt == m.Attempt)
}

// reportFormer applies a status of an attempt that is not the row's current one.
// Arrival wins over whatever the current attempt is doing and calls off a retry
// that waits; any sign of life, a failure too, calls off a resend that was not
// claimed yet, and makes that attempt the row's current one again. Everything
// else changes nothing.
func (m *Message) reportFormer(r Report, proof Proof, c Circumstances) Change {
	arrived := proof >= ProofDelivered
	resendWaits := m.Resend && (m.State == Deferred || m.State == Queued)
	switch {
	case resendWaits:
		m.Posted, m.ProviderID, m.ClaimID, m.RawStatus = r.Attempt, r.ProviderID, ClaimID{}, ""
		m.Proof = ProofNone
		m.times(proof, r.At)
		if proof == ProofFailed {
			m.DueAt = nil
			return m.failReported(r.failure(), c)
		}
		m.climb(proof, c.Now)
	case arrived && proof > m.Proof:
		m.times(proof, r.At)
		m.climb(proof, c.Now)
	}
	return Change{}
}

// climb raises the proof and sets the state that goes with it.
func (m *Message) climb(proof Proof, _ time.Time) {
	m.Proof = proof
	m.Posts = max(m.Posts, 1) // the provider knows it, whatever we believed of its POST
	m.State = proof.state(m.RawStatus)
	m.Reason, m.ErrorCode, m.DueAt, m.Resend = "", "", nil, false
	m.FailedAt = nil
}

// times keeps the first time of each kind, even where the proof does not climb:
// the provider may skip delivered when the chat is open, and repeat anything.
func (m *Message) times(proof Proof, at time.Time) {
	first := func(t **time.Time) {
		if *t == nil || at.Before(**t) {
			*t = &at
		}
	}
	switch proof {
	case ProofSent:
		first(&m.SentAt)
	case ProofDelivered:
		first(&m.DeliveredAt)
	case ProofRead:
		first(&m.ReadAt)
	}
}

func (m *Message) failedAt(at time.Time) {
	if m.FailedAt == nil {
		m.FailedAt = &at
	}
}

// failReported is fail for a failure that came by webhook.
func (m *Message) failReported(f Failure, c Circumstances) Change {
	if f.Dropped {
		// The provider held the message and dropped it: it failed, and somebody must
		// look at the template before more are sent (design §5, 132015).
		f.Class = Final
		change := m.fail(f, c, 0)
		change.Dropped = true
		return change
	}
	return m.fail(f, c, 0)
}

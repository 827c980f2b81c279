package campaign_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/campaignd/campaignd/internal/campaign"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func running() campaign.Circumstances {
	return campaign.Circumstances{Now: noon, Campaign: campaign.Running, Marketing: true, Random: 0.5}
}

var (
	capped   = &campaign.Failure{Code: "131049", Class: campaign.RetryClass, RestContact: true, Retry: campaign.Retry{First: 24 * time.Hour, Factor: 2, Attempts: 3}}
	nobody   = &campaign.Failure{Code: "131026", Class: campaign.Final}
	dropped  = &campaign.Failure{Code: "132015", Class: campaign.PauseTemplate, Dropped: true}
	accepted = campaign.Answer{Kind: campaign.AnswerAccepted, ProviderID: "wamid.1", RawStatus: "accepted"}
)

func claim(n byte) campaign.ClaimID { return campaign.ClaimID{n} }

// claimed gives a message whose n-th attempt is claimed; the attempts before it
// were capped.
func claimed(t interface {
	Helper()
	Fatalf(string, ...any)
}, n int) campaign.Message {
	t.Helper()
	m := campaign.Message{ID: 1, CampaignID: 1, State: campaign.Pending}
	for i := 1; i <= n; i++ {
		m.State, m.Attempt, m.DueAt = campaign.Queued, i, nil
		if ok, _ := m.Claim(i, claim(byte(i)), running()); !ok {
			t.Fatalf("attempt %d was not claimed: %+v", i, m)
		}
		if i < n {
			m.Report(campaign.Report{Attempt: i, Status: "failed", Failure: capped}, running())
			if m.State != campaign.Deferred {
				t.Fatalf("attempt %d: %s after 131049", i, m.State)
			}
		}
	}
	return m
}

func TestMessageOutcome(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		answer campaign.Answer
		state  campaign.MessageState
		reason string
		posts  int
	}{
		{"Accepted", accepted, campaign.Accepted, "", 1},
		{"Held", campaign.Answer{Kind: campaign.AnswerHeld, RawStatus: "held_for_quality_assessment"}, campaign.Held, "", 1},
		{"Final", campaign.Answer{Kind: campaign.AnswerFailed, Failure: *nobody}, campaign.Failed, "", 1},
		{"Retry", campaign.Answer{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: "131000", Class: campaign.RetryClass}}, campaign.Deferred, campaign.ReasonRetry, 1},
		{"PausedTemplate", campaign.Answer{Kind: campaign.AnswerFailed, Failure: *dropped}, campaign.Deferred, campaign.ReasonRetry, 1},
		{"InDoubt", campaign.Answer{Kind: campaign.AnswerInDoubt}, campaign.Unknown, "", 1},
		{"UnreachableCostsNoPost", campaign.Answer{Kind: campaign.AnswerUnreachable}, campaign.Deferred, campaign.ReasonUnreachable, 0},
		{"AbandonedWasNeverPosted", campaign.Answer{Kind: campaign.AnswerAbandoned}, campaign.Pending, "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := claimed(t, 1)
			m.Outcome(claim(9), campaign.Answer{Kind: campaign.AnswerFailed, Failure: *nobody}, running())
			if m.State != campaign.Sending {
				t.Fatalf("an answer to another claim made it %s", m.State)
			}
			for range 2 {
				m.Outcome(claim(1), test.answer, running())
			}
			if m.State != test.state || m.Reason != test.reason || m.Posts != test.posts {
				t.Errorf("%s/%s after %d POSTs, want %s/%s after %d", m.State, m.Reason, m.Posts, test.state, test.reason, test.posts)
			}
			if waits := m.State == campaign.Deferred || m.State == campaign.Pending; waits != (m.DueAt != nil) {
				t.Errorf("%s and due at %v", m.State, m.DueAt)
			}
		})
	}
}

func TestMessageRetriesEndAtTheMaximumAndTheDeadline(t *testing.T) {
	t.Parallel()
	m := claimed(t, 3)
	change := m.Report(campaign.Report{Attempt: 3, Status: "failed", Failure: capped}, running())
	if m.State != campaign.Failed || m.ErrorCode != "131049" || change.Rest == nil {
		t.Errorf("after three POSTs: %s %s, rest %v", m.State, m.ErrorCode, change.Rest)
	}

	late := running()
	deadline := noon.Add(time.Hour)
	late.Deadline = &deadline
	m = claimed(t, 1)
	m.Report(campaign.Report{Attempt: 1, Status: "failed", Failure: capped}, late)
	if m.State != campaign.Failed || m.Reason != campaign.ReasonExpired {
		t.Errorf("a retry past the deadline: %s %s", m.State, m.Reason)
	}

	us := running()
	us.US = true
	never := *capped
	never.NeverUS = true
	m = claimed(t, 1)
	change = m.Report(campaign.Report{Attempt: 1, Status: "failed", Failure: &never}, us)
	if m.State != campaign.Failed || change.Rest != nil {
		t.Errorf("131049 for a US number: %s, rest %v", m.State, change.Rest)
	}

	utility := running()
	utility.Marketing = false
	m = claimed(t, 1)
	m.Report(campaign.Report{Attempt: 1, Status: "failed", Failure: capped}, utility)
	if m.State != campaign.Failed {
		t.Errorf("131049 for a utility template: %s", m.State)
	}
}

func TestMessageClaimSaysWhyNot(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*campaign.Circumstances)
		state  campaign.MessageState
		reason string
		again  campaign.MessageState // of a message that was posted before
	}{
		{"Cancelled", func(c *campaign.Circumstances) { c.Campaign = campaign.Cancelled }, campaign.MessageCancelled, "", campaign.Failed},
		{"Expired", func(c *campaign.Circumstances) { c.Deadline = &noon }, campaign.Skipped, campaign.ReasonExpired, campaign.Failed},
		{"OptedOut", func(c *campaign.Circumstances) { c.Skip = campaign.ReasonOptedOut }, campaign.Skipped, campaign.ReasonOptedOut, campaign.Failed},
		{"Held", func(c *campaign.Circumstances) { c.Blocked = true }, campaign.Pending, "", campaign.Deferred},
		{"Resting", func(c *campaign.Circumstances) { later := noon.Add(time.Hour); c.Rest = &later }, campaign.Pending, campaign.ReasonRest, campaign.Deferred},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := running()
			test.change(&c)
			m := campaign.Message{State: campaign.Queued, Attempt: 1}
			if ok, _ := m.Claim(1, claim(1), c); ok || m.State != test.state || m.Reason != test.reason || m.Posts != 0 {
				t.Errorf("claimed %v: %s/%s after %d POSTs, want %s/%s", ok, m.State, m.Reason, m.Posts, test.state, test.reason)
			}
			m = claimed(t, 1)
			m.Report(campaign.Report{Attempt: 1, Status: "failed", Failure: capped}, running())
			m.State, m.Attempt, m.DueAt = campaign.Queued, 2, nil
			if ok, _ := m.Claim(2, claim(2), c); ok || m.State != test.again || m.Posts != 1 || m.ErrorCode != "131049" {
				t.Errorf("second turn claimed %v: %s %s after %d POSTs, want %s", ok, m.State, m.ErrorCode, m.Posts, test.again)
			}
		})
	}
}

func TestMessageOfAStaleTurnIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, state := range campaign.MessageStates {
		m := campaign.Message{State: state, Attempt: 2, Posted: 1, Posts: 1}
		before := m
		if ok, _ := m.Claim(1, claim(1), running()); ok || m != before {
			t.Errorf("%s: the job of an old turn changed it to %+v", state, m)
		}
	}
}

func TestMessageResend(t *testing.T) {
	t.Parallel()
	unknown := func() campaign.Message {
		m := claimed(t, 1)
		m.Outcome(claim(1), campaign.Answer{Kind: campaign.AnswerInDoubt}, running())
		if !m.Resolve(true, running()) || m.State != campaign.Deferred || m.Reason != campaign.ReasonResend {
			t.Fatalf("%+v", m)
		}
		return m
	}
	m := unknown()
	m.Report(campaign.Report{Attempt: 1, Status: "sent"}, running())
	if m.State != campaign.Sent || m.DueAt != nil {
		t.Errorf("a sign of life did not call the resend off: %+v", m)
	}
	m = unknown()
	m.State, m.Attempt, m.DueAt = campaign.Queued, 2, nil
	m.Outcome(claim(1), accepted, running())
	if m.State != campaign.Accepted {
		t.Errorf("a late answer of the same claim did not call the resend off: %+v", m)
	}
	m = unknown()
	c := running()
	c.Campaign = campaign.Cancelled
	m.Cancel(c)
	if m.State != campaign.Unknown {
		t.Errorf("a cancelled resend is %s", m.State)
	}
	m = unknown()
	m.State, m.Attempt, m.DueAt = campaign.Queued, 2, nil
	if ok, change := m.Claim(2, claim(2), running()); !ok || change.Former == nil || change.Former.State != campaign.Unknown {
		t.Fatalf("%v %+v", ok, change)
	}
	m.Outcome(claim(2), campaign.Answer{Kind: campaign.AnswerAbandoned}, running())
	if m.State != campaign.Deferred || m.Reason != campaign.ReasonResend || m.Posts != 1 {
		t.Errorf("an abandoned resend: %+v", m)
	}
	m.Report(campaign.Report{Attempt: 1, Status: "sent", ProviderID: "wamid.1"}, running())
	if m.State != campaign.Sent || m.Posted != 1 || m.ProviderID != "wamid.1" {
		t.Errorf("an older sign of life while a resend waits: %+v", m)
	}
	m.Report(campaign.Report{Attempt: 1, Status: "failed", Failure: nobody}, running())
	if m.State != campaign.Failed {
		t.Errorf("a later failure of the attempt that is current again: %s", m.State)
	}
}

func TestMessageAttemptTheDatabaseLost(t *testing.T) {
	t.Parallel()
	m := campaign.Message{State: campaign.Pending}
	change := m.Report(campaign.Report{Attempt: 1, Status: "delivered"}, running())
	if !change.LostCommits || m.State != campaign.Delivered {
		t.Errorf("%+v %+v", change, m)
	}
}

func TestMessageDroppedByTheProvider(t *testing.T) {
	t.Parallel()
	m := claimed(t, 1)
	m.Outcome(claim(1), campaign.Answer{Kind: campaign.AnswerHeld, RawStatus: "held_for_quality_assessment"}, running())
	change := m.Report(campaign.Report{Attempt: 1, Status: "failed", Failure: dropped}, running())
	if m.State != campaign.Failed || !change.Dropped || change.Hold != nil {
		t.Errorf("%s %+v", m.State, change)
	}
}

// TestMessageEventsCommute: whatever the order and the repetitions of the events
// of two attempts, the message ends in the same state, and its proof never falls.
func TestMessageEventsCommute(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var events []func(*campaign.Message)
		for attempt := 1; attempt <= 2; attempt++ {
			failure := rapid.SampledFrom([]*campaign.Failure{capped, nobody}).Draw(t, "failure")
			for _, status := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"sent", "delivered", "read", "played", "failed", "warning"}), rapid.ID[string]).Draw(t, fmt.Sprint("statuses of ", attempt)) {
				r := campaign.Report{Attempt: attempt, Status: status, At: noon}
				if status == "failed" {
					r.Failure = failure
				}
				events = append(events, func(m *campaign.Message) { m.Report(r, running()) })
			}
		}
		if rapid.Bool().Draw(t, "answered") {
			events = append(events, func(m *campaign.Message) { m.Outcome(claim(2), accepted, running()) })
		}
		play := func(seed uint64) campaign.Message {
			m := claimed(t, 2)
			m.ProviderID = "wamid.1"
			order := append(append([]func(*campaign.Message){}, events...), events...)
			rand.New(rand.NewPCG(seed, 1)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			proof := m.Proof
			for _, event := range order {
				event(&m)
				if m.Proof < proof {
					t.Fatalf("proof fell from %d to %d", proof, m.Proof)
				}
				proof = m.Proof
			}
			return m
		}
		one, other := play(rapid.Uint64().Draw(t, "seed")), play(rapid.Uint64().Draw(t, "other seed"))
		if one.State != other.State || one.ErrorCode != other.ErrorCode || one.Proof != other.Proof || (one.DueAt == nil) != (other.DueAt == nil) {
			t.Fatalf("%+v\n%+v", one, other)
		}
	})
}

// What we believed never written was: the provider reports it.
func TestMessageReportedAfterItsPostWasBelievedUnwritten(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"sent", "delivered", "failed"} {
		m := claimed(t, 1)
		m.Outcome(claim(1), campaign.Answer{Kind: campaign.AnswerAbandoned}, running())
		if m.Posts != 0 {
			t.Fatalf("%d POSTs of an abandoned claim", m.Posts)
		}
		m.Report(campaign.Report{Attempt: 1, Status: status, Failure: nobody}, running())
		if m.Posts != 1 || m.DueAt != nil {
			t.Errorf("%s: %+v", status, m)
		}
	}
}

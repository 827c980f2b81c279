package campaign_test

import (
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// unknown gives a message whose only POST has an unknown fate.
func unknown(t *testing.T) campaign.Message {
	t.Helper()
	m := claimed(t, 1)
	m.Outcome(claim(1), campaign.Answer{Kind: campaign.AnswerInDoubt}, running())
	if m.State != campaign.Unknown {
		t.Fatalf("%+v", m)
	}
	return m
}

// resent gives a message of unknown fate whose resend is claimed.
func resent(t *testing.T) campaign.Message {
	t.Helper()
	m := unknown(t)
	if !m.Resolve(true, running()) {
		t.Fatalf("%+v", m)
	}
	m.State, m.Attempt, m.DueAt = campaign.Queued, 2, nil
	if ok, _ := m.Claim(2, claim(2), running()); !ok {
		t.Fatalf("%+v", m)
	}
	return m
}

func cancelled() campaign.Circumstances {
	c := running()
	c.Campaign = campaign.Cancelled
	return c
}

func TestMessageResolvedAsFailedIsLiftedOnlyByArrival(t *testing.T) {
	t.Parallel()
	m := unknown(t)
	if !m.Resolve(false, running()) || m.State != campaign.Failed || m.ErrorCode != campaign.CodeUnresolved {
		t.Fatalf("%+v", m)
	}
	m.Outcome(claim(1), accepted, running())
	m.Report(campaign.Report{Attempt: 1, Status: "sent"}, running())
	if m.State != campaign.Failed {
		t.Errorf("failed became %s", m.State)
	}
	m.Report(campaign.Report{Attempt: 1, Status: "delivered"}, running())
	if m.State != campaign.Delivered || m.ErrorCode != "" {
		t.Errorf("after it was delivered: %+v", m)
	}
}

// A provider that answers with a fault and sends all the same must not be asked
// once more.
func TestMessageRefusalAfterASignOfLifeIsNotRetried(t *testing.T) {
	t.Parallel()
	m := claimed(t, 1)
	m.Report(campaign.Report{Attempt: 1, Status: "sent"}, running())
	m.Outcome(claim(1), campaign.Answer{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: "131016", Class: campaign.RetryClass}}, running())
	if m.State != campaign.Sent || m.DueAt != nil {
		t.Errorf("%+v", m)
	}
}

// A release is written twice when the first commit's reply was lost. The second
// must not take back the POST before it.
func TestMessageRepeatedReleaseOfACalledOffResend(t *testing.T) {
	t.Parallel()
	for _, kind := range []campaign.AnswerKind{campaign.AnswerAbandoned, campaign.AnswerUnreachable} {
		m := resent(t)
		for range 2 {
			m.Outcome(claim(2), campaign.Answer{Kind: kind}, cancelled())
			if m.State != campaign.Unknown || m.Posts != 1 {
				t.Errorf("%s: %s after %d POSTs, want unknown after 1", kind, m.State, m.Posts)
			}
		}
	}
}

// A worker that was asleep between claim and POST wakes after its claim went
// stale: what it releases is still a resend of something that may have arrived.
func TestMessageReleaseOfAStaleResend(t *testing.T) {
	t.Parallel()
	m := resent(t)
	late := running()
	late.Now = noon.Add(2 * time.Minute)
	if !m.Stale(time.Minute, late) || m.State != campaign.Unknown {
		t.Fatalf("%+v", m)
	}
	m.Outcome(claim(2), campaign.Answer{Kind: campaign.AnswerAbandoned}, late)
	if m.State != campaign.Deferred || m.Reason != campaign.ReasonResend || m.Posts != 1 {
		t.Errorf("released: %+v", m)
	}
	m.Cancel(cancelled())
	if m.State != campaign.Unknown {
		t.Errorf("cancelled: %s %q, want unknown", m.State, m.ErrorCode)
	}
}

// Whoever asks for its claim has not posted, however late the repeat is heard.
func TestMessageClaimAskedAgainAfterItWentStale(t *testing.T) {
	t.Parallel()
	m := claimed(t, 1)
	late := running()
	late.Now = noon.Add(2 * time.Minute)
	if !m.Stale(time.Minute, late) {
		t.Fatalf("%+v", m)
	}
	if ok, _ := m.Claim(1, claim(9), late); ok || m.State != campaign.Unknown {
		t.Errorf("another claim: %v %+v", ok, m)
	}
	if ok, _ := m.Claim(1, claim(1), late); ok || m.State != campaign.Pending || m.Posts != 0 || m.DueAt == nil {
		t.Errorf("the same claim: %v %+v", ok, m)
	}
}

func TestMessageFailureOfTheFormerAttemptCallsAResendOff(t *testing.T) {
	t.Parallel()
	m := resent(t)
	m.Outcome(claim(2), campaign.Answer{Kind: campaign.AnswerUnreachable}, running())
	m.Report(campaign.Report{Attempt: 1, Status: "failed", Failure: nobody}, running())
	if m.State != campaign.Failed || m.ErrorCode != nobody.Code || m.DueAt != nil || m.Posted != 1 {
		t.Errorf("%+v", m)
	}
}

// Both POSTs of a resend may have arrived; the second one's statuses are no sign
// of lost commits when the first one is current again.
func TestMessageStatusOfACalledOffResend(t *testing.T) {
	t.Parallel()
	m := resent(t)
	m.Outcome(claim(2), campaign.Answer{Kind: campaign.AnswerInDoubt}, running())
	m.Resolve(true, running())
	m.Report(campaign.Report{Attempt: 1, Status: "sent"}, running())
	if m.State != campaign.Sent || m.Posted != 1 {
		t.Fatalf("%+v", m)
	}
	if change := m.Report(campaign.Report{Attempt: 2, Status: "sent"}, running()); change.LostCommits || m.Posts != 2 {
		t.Errorf("%+v %+v", change, m)
	}
	if change := m.Report(campaign.Report{Attempt: 2, Status: "delivered"}, running()); change.LostCommits || m.State != campaign.Delivered {
		t.Errorf("%+v %+v", change, m)
	}
	if change := m.Report(campaign.Report{Attempt: 3, Status: "sent"}, running()); !change.LostCommits {
		t.Error("an attempt that nobody made raised no alarm")
	}
}

// A rule of a person's own must not overflow into the past, which would be a
// retry without any gap.
func TestMessageRetryGapIsBounded(t *testing.T) {
	t.Parallel()
	steep := campaign.Retry{First: 24 * time.Hour, Factor: 10, Attempts: 100, Jitter: 0.1}
	for n := range 100 {
		if gap := steep.After(n+1, 0.99); gap < 24*time.Hour {
			t.Fatalf("after %d POSTs: %v", n+1, gap)
		}
	}
	m := claimed(t, 1)
	m.Posts = 20
	c := running()
	c.Retry = map[string]campaign.Retry{"131000": steep}
	m.Outcome(claim(1), campaign.Answer{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: "131000", Class: campaign.RetryClass}}, c)
	if m.State != campaign.Deferred || m.DueAt.Before(noon.Add(24*time.Hour)) || m.DueAt.After(noon.AddDate(2, 0, 0)) {
		t.Errorf("%s, due at %v", m.State, m.DueAt)
	}
}

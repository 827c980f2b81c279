package sender

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/campaignd/campaignd/internal/campaign"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a store of one channel and one template, without a database.
type memory struct {
	mu       sync.Mutex
	channels []campaign.Channel
	claim    func(campaign.Turn) campaign.Claimed
	jobs     []campaign.MessageID
	high     []campaign.MessageID // of high priority
	asked    []int                // how many were wanted at a time
	failure  error                // of every question
	outcomes []campaign.Outcome
	holds    []campaign.Hold
	lifted   int
	demands  []campaign.Demand
	unleased error
}

func (m *memory) Channels(context.Context) ([]campaign.Channel, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]campaign.Channel{}, m.channels...), nil
}

func (m *memory) TemplateByID(context.Context, campaign.TemplateID) (campaign.Template, error) {
	return campaign.Template{Name: "hello", Language: "en"}, nil
}

func (m *memory) CampaignConstants(context.Context, campaign.ID) ([]byte, error) {
	return []byte(`{"body.1":"constant","body.2":"constant"}`), nil
}

func (m *memory) Opaque(id campaign.MessageID, attempt int) string {
	return fmt.Sprintf("d/%d/%d", id, attempt)
}

func (m *memory) FanOut(context.Context, campaign.ChannelID, int, int) (int, error) { return 0, nil }

func (m *memory) Take(_ context.Context, wants []campaign.Want) ([]campaign.Taken, error) {
	taken := make([]campaign.Taken, len(wants))
	m.mu.Lock()
	jobs := &m.jobs
	if len(wants) > 0 && wants[0].High {
		jobs = &m.high
	} else {
		m.asked = append(m.asked, len(wants))
	}
	failure := m.failure
	m.mu.Unlock()
	if failure != nil {
		return nil, failure
	}
	for i, w := range wants {
		m.mu.Lock()
		if len(*jobs) == 0 {
			m.mu.Unlock()
			continue
		}
		id := (*jobs)[0]
		m.mu.Unlock()
		turn := campaign.Turn{Message: id, Attempt: 1, Campaign: 3, Channel: w.Channel, Claim: w.Claim}
		taken[i] = campaign.Taken{Turn: turn, Claimed: m.claim(turn)}
		m.mu.Lock()
		if !taken[i].Again {
			*jobs = (*jobs)[1:]
		}
		m.mu.Unlock()
	}
	return taken, nil
}

func (m *memory) posted() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.outcomes)
}

func (m *memory) left() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.jobs)
}

func (m *memory) questions() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.asked)
}

// unlease has renewals fail, or go again.
func (m *memory) unlease(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unleased = err
}

// said is what the node said last of itself.
func (m *memory) said() campaign.Demand {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.demands[len(m.demands)-1]
}

func (m *memory) Record(_ context.Context, outcomes []campaign.Outcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.outcomes = append(m.outcomes, outcomes...)
	return nil
}

func (m *memory) PutHold(_ context.Context, h campaign.Hold) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holds = append(m.holds, h)
	return nil
}

func (m *memory) LiftHold(context.Context, campaign.HoldScope, int64, string) (bool, error) {
	m.lifted++
	return false, nil
}

func (m *memory) RenewShare(_ context.Context, id campaign.ChannelID, _ string, d campaign.Demand) (campaign.Share, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.demands = append(m.demands, d)
	rate := math.Inf(1)
	for _, c := range m.channels {
		if c.ID == id && c.Rate > 0 {
			rate = c.Rate
		}
	}
	return campaign.Share{Rate: rate, Allowed: rate, CutAge: -1}, m.unleased
}

func (m *memory) DropShares(context.Context, string) error { return nil }

type providerFunc func(context.Context, *campaign.Request) campaign.Answer

func (f providerFunc) Send(ctx context.Context, r *campaign.Request) campaign.Answer {
	return f(ctx, r)
}
func (f providerFunc) Close() {}

func ok(campaign.Turn) campaign.Claimed {
	return campaign.Claimed{OK: true, Template: 1, Phone: "+4915123456789", Parameters: []byte(`{"body.1":"own"}`)}
}

// start gives a sender with one channel, ready to work.
func start(t *testing.T, m *memory, rate float64, p providerFunc) *Sender {
	t.Helper()
	m.channels = []campaign.Channel{{ID: 1, Name: "c", Rate: rate}}
	if m.claim == nil {
		m.claim = ok
	}
	s := New(context.Background(), Config{Store: m, Logger: slog.New(slog.DiscardHandler),
		Connect: func(campaign.Channel) (Provider, error) { return p, nil }})
	if err := s.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// work gives the channel a job and has it worked, for as long as the limiter lets
// us wait.
func work(ctx context.Context, s *Sender, id campaign.MessageID) error {
	s.Store.(*memory).add(id)
	ch := s.channel(1)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ticket, err := ch.throttle.Wait(ctx)
	if err != nil {
		return err
	}
	ch.pumps[0].wake()
	ch.pumps[0].begin(1)
	s.turn(context.WithoutCancel(ctx), ch, ch.pumps[0], &ticket)
	ch.pumps[0].end()
	return nil
}

func (m *memory) add(ids ...campaign.MessageID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.jobs = append(m.jobs, ids...)
}

func accept(_ context.Context, r *campaign.Request) campaign.Answer {
	if !r.Validity.Begin() {
		return campaign.Answer{Kind: campaign.AnswerAbandoned}
	}
	return campaign.Answer{Kind: campaign.AnswerAccepted, ProviderID: "w"}
}

func TestWorkerPostsAndRecords(t *testing.T) {
	t.Parallel()
	m := &memory{}
	var got campaign.Request
	s := start(t, m, 0, func(ctx context.Context, r *campaign.Request) campaign.Answer {
		got = campaign.Request{To: r.To, Opaque: r.Opaque, Parameters: r.Parameters}
		return accept(ctx, r)
	})
	defer s.Close()
	if err := work(t.Context(), s, 7); err != nil {
		t.Fatal(err)
	}
	if got.To != "+4915123456789" || got.Opaque != "d/7/1" || got.Parameters["body.1"].Text != "own" || got.Parameters["body.2"].Text != "constant" {
		t.Errorf("posted %+v", got)
	}
	if len(m.outcomes) != 1 || m.outcomes[0].Answer.Kind != campaign.AnswerAccepted || m.outcomes[0].Claim.IsZero() {
		t.Errorf("recorded %+v", m.outcomes)
	}
	if posts := s.Posts(); posts[3] != 1 || len(s.Posts()) != 0 {
		t.Errorf("posts %v", posts)
	}
}

func TestWorkerPostsNothingWithoutAClaim(t *testing.T) {
	t.Parallel()
	m := &memory{claim: func(campaign.Turn) campaign.Claimed { return campaign.Claimed{} }}
	s := start(t, m, 0, func(context.Context, *campaign.Request) campaign.Answer {
		t.Error("posted")
		return campaign.Answer{}
	})
	defer s.Close()
	if err := work(t.Context(), s, 7); err != nil || len(m.outcomes) != 0 {
		t.Errorf("%v, %+v", err, m.outcomes)
	}
}

func TestWorkerAsksAgainForTheSecondMessageOfAPerson(t *testing.T) {
	t.Parallel()
	asked := 0
	m := &memory{}
	m.claim = func(turn campaign.Turn) campaign.Claimed {
		if asked++; asked == 1 {
			return campaign.Claimed{Again: true}
		}
		return ok(turn)
	}
	s := start(t, m, 0, accept)
	defer s.Close()
	if err := work(t.Context(), s, 7); err != nil || asked != 2 || len(m.outcomes) != 1 {
		t.Errorf("%v, asked %d times, %+v", err, asked, m.outcomes)
	}
}

// Somebody keeps the message locked: it is posted however long that took, and a
// worker does not ask for ever.
func TestWorkerAsksForWhatOthersKeep(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kept time.Duration
		want int
	}{{keptPatience / 2, 1}, {time.Hour, 0}} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			m := &memory{}
			m.claim = func(turn campaign.Turn) campaign.Claimed {
				time.Sleep(100 * time.Millisecond)
				if time.Since(begun) < c.kept {
					return campaign.Claimed{Again: true}
				}
				return ok(turn)
			}
			s := start(t, m, 0, accept)
			defer s.Close()
			if err := work(t.Context(), s, 7); err != nil {
				t.Fatal(err)
			}
			if len(m.outcomes) != c.want || c.want == 1 && m.outcomes[0].Answer.Kind != campaign.AnswerAccepted {
				t.Errorf("kept for %v: %+v", c.kept, m.outcomes)
			}
			if waited := time.Since(begun); waited > 2*keptPatience {
				t.Errorf("kept for %v: asked for %v", c.kept, waited)
			}
		})
	}
}

// A claim that came too late is given back, not posted: the design's 10 s.
func TestWorkerAbandonsAnOldClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		m.claim = func(turn campaign.Turn) campaign.Claimed {
			time.Sleep(claimLife + time.Second)
			return ok(turn)
		}
		s := start(t, m, 0, accept)
		defer s.Close()
		if err := work(t.Context(), s, 7); err != nil {
			t.Fatal(err)
		}
		if len(m.outcomes) != 1 || m.outcomes[0].Answer.Kind != campaign.AnswerAbandoned {
			t.Errorf("%+v", m.outcomes)
		}
	})
}

func TestFiveDoubtsHoldTheChannelForTwiceAsLongEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		kind := campaign.AnswerInDoubt
		s := start(t, m, 0, func(context.Context, *campaign.Request) campaign.Answer { return campaign.Answer{Kind: kind} })
		defer s.Close()
		send := func(n int) {
			for range n {
				if err := work(t.Context(), s, 1); err != nil {
					t.Fatal(err)
				}
			}
		}
		send(4)
		if len(m.holds) != 0 {
			t.Fatalf("held after four: %+v", m.holds)
		}
		send(3) // the last two were under way when the hold came
		if len(m.holds) != 1 || m.holds[0].Scope != campaign.HoldChannel || time.Until(*m.holds[0].Until).Round(time.Second) != doubtFirst {
			t.Fatalf("%+v", m.holds)
		}
		time.Sleep(doubtFirst + time.Second)
		send(5)
		if len(m.holds) != 2 || time.Until(*m.holds[1].Until).Round(time.Second) != 2*doubtFirst {
			t.Fatalf("%+v", m.holds)
		}
		time.Sleep(2*doubtFirst + time.Second)
		kind = campaign.AnswerAccepted
		send(1)
		kind = campaign.AnswerUnreachable
		send(5)
		if len(m.holds) != 3 || time.Until(*m.holds[2].Until).Round(time.Second) != doubtFirst {
			t.Fatalf("after an answer: %+v", m.holds)
		}
	})
}

func TestTwentyIdenticalOperatorFailuresHoldTheTemplate(t *testing.T) {
	t.Parallel()
	m := &memory{}
	code := "132000"
	s := start(t, m, 0, func(context.Context, *campaign.Request) campaign.Answer {
		return campaign.Answer{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: code, Class: campaign.Final, Operator: true}}
	})
	defer s.Close()
	send := func(n int) {
		for range n {
			if err := work(t.Context(), s, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(19)
	code = "131008"
	send(19)
	if len(m.holds) != 0 {
		t.Fatalf("%+v", m.holds)
	}
	send(2)
	if len(m.holds) != 1 || m.holds[0].Scope != campaign.HoldTemplate || m.holds[0].Source != campaign.SourceRepeated {
		t.Fatalf("%+v", m.holds)
	}
}

func TestSlowDownCutsTheChannelsRate(t *testing.T) {
	t.Parallel()
	m := &memory{}
	s := start(t, m, 100, func(context.Context, *campaign.Request) campaign.Answer {
		return campaign.Answer{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: "130429", Class: campaign.SlowDown}}
	})
	defer s.Close()
	if err := work(t.Context(), s, 1); err != nil {
		t.Fatal(err)
	}
	if _, now := s.channel(1).throttle.Rate(); now > 50 {
		t.Errorf("the rate is %v", now)
	}
}

func TestChannelWithoutAKeyIsHeldAndTakenUpLater(t *testing.T) {
	t.Parallel()
	m := &memory{channels: []campaign.Channel{{ID: 1, Name: "c"}}, claim: ok}
	missing := errors.New("the environment variable KEY is not set here")
	s := New(context.Background(), Config{Store: m, Logger: slog.New(slog.DiscardHandler),
		Connect: func(campaign.Channel) (Provider, error) {
			if missing != nil {
				return nil, missing
			}
			return providerFunc(accept), nil
		}})
	defer s.Close()
	for range 3 {
		if err := s.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.holds) != 1 || s.channel(1) != nil {
		t.Fatalf("holds %+v, and it is used", m.holds)
	}
	missing = nil
	if err := s.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m.lifted != 1 || s.channel(1) == nil {
		t.Fatalf("lifted %d, used %v", m.lifted, s.channel(1) != nil)
	}
	if err := work(t.Context(), s, 1); err != nil || len(m.outcomes) != 1 {
		t.Fatalf("%v, %+v", err, m.outcomes)
	}
}

func TestChannelWithANewKeyIsConnectedAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{channels: []campaign.Channel{{ID: 1, Name: "c"}}, claim: ok}
		key, connected := "first", 0
		s := New(context.Background(), Config{Store: m, Logger: slog.New(slog.DiscardHandler),
			Connect: func(campaign.Channel) (Provider, error) {
				if key == "" {
					return nil, errors.New("the key file is gone")
				}
				connected++
				return providerFunc(accept), nil
			},
			Fingerprint: func(campaign.Channel) string { return key }})
		defer s.Close()
		refresh := func() {
			t.Helper()
			if err := s.refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		refresh()
		refresh()
		key = "second"
		refresh()
		if connected != 2 {
			t.Errorf("connected %d times for two keys", connected)
		}
		key = ""
		refresh()
		refresh()
		if len(m.holds) != 1 {
			t.Fatalf("%+v", m.holds)
		}
		time.Sleep(holdAgainEvery + time.Second) // somebody resumed the channel meanwhile
		refresh()
		if len(m.holds) != 2 {
			t.Errorf("a channel without a key is not held again: %+v", m.holds)
		}
	})
}

// A node that cannot renew its share sends nothing once the lease has ended: the
// others may be using it.
func TestWithoutALeaseNothingIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		s := start(t, m, 10, accept)
		defer s.Close()
		try := func() (posted bool) {
			t.Helper()
			before := len(m.outcomes)
			if err := work(t.Context(), s, 1); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			return len(m.outcomes) > before
		}
		if !try() {
			t.Fatal("nothing was posted with a lease")
		}
		m.unlease(errors.New("no database"))
		s.renew(t.Context(), s.channel(1))
		if !try() {
			t.Error("a lost renewal stopped the channel before the lease ended")
		}
		time.Sleep(campaign.ShareLease)
		if try() {
			t.Error("posted without a lease")
		}
		m.unlease(nil)
		s.renew(t.Context(), s.channel(1))
		if !try() {
			t.Error("nothing was posted with a new lease")
		}
	})
}

// An answer that asks us to slow down slows this node at once, and all the others
// as soon as the database knows: it is told until it has heard, and once.
func TestSlowDownIsToldToAllNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		s := start(t, m, 10, func(_ context.Context, r *campaign.Request) campaign.Answer {
			r.Validity.Begin()
			return campaign.Answer{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: "130429", Class: campaign.SlowDown}}
		})
		defer s.Close()
		ch := s.channel(1)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.renewShares(ctx) }()
		defer func() { stop(); <-done }()
		synctest.Wait()
		time.Sleep(time.Millisecond)

		begun := time.Now()
		m.unlease(errors.New("no database"))
		if err := work(t.Context(), s, 1); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d := m.said(); !d.Refused.Equal(begun) || d.Using != 10 || d.Sent == 0 {
			t.Errorf("at once it says %+v, the POST was begun at %v", d, begun)
		}
		if _, now := ch.throttle.Rate(); now != 5 {
			t.Errorf("meanwhile it sends %v/s, want 5/s", now)
		}
		m.unlease(nil)
		time.Sleep(renewEvery)
		synctest.Wait()
		if d := m.said(); !d.Refused.Equal(begun) {
			t.Errorf("what was not heard is not said again: %+v", d)
		}
		if _, now := ch.throttle.Rate(); now != 10 { // what the store answers
			t.Errorf("with the share it sends %v/s, want 10/s", now)
		}
		time.Sleep(renewEvery)
		synctest.Wait()
		if d := m.said(); !d.Refused.IsZero() {
			t.Errorf("it is said again and again: %+v", d)
		}
	})
}

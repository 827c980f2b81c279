package sender

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// owed is a store of confirmations of channel 1.
type owed struct {
	mu      sync.Mutex
	waiting []campaign.Confirmation
	ends    []string
	fail    int // of the next EndConfirmation
}

func (o *owed) ConfirmationsDue(context.Context) ([]campaign.ChannelID, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == 0 {
		return nil, nil
	}
	return []campaign.ChannelID{1}, nil
}

func (o *owed) TakeConfirmation(context.Context, campaign.ChannelID) (campaign.Confirmation, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == 0 {
		return campaign.Confirmation{}, false, nil
	}
	c := o.waiting[0]
	o.waiting = o.waiting[1:]
	c.Try++
	return c, true, nil
}

func (o *owed) EndConfirmation(_ context.Context, c campaign.Confirmation, state campaign.ConfirmationState, reason string, _ time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail > 0 {
		o.fail--
		return errors.New("the database is away")
	}
	o.ends = append(o.ends, fmt.Sprintf("%d %s %s", c.ID, state, reason))
	if state == campaign.ConfirmationWaiting {
		o.waiting = append(o.waiting, c)
	}
	return nil
}

func (o *owed) TidyConfirmations(context.Context) (int64, error) { return 0, nil }
func (o *owed) ConfirmationOpaque(id int64) string               { return fmt.Sprintf("d/confirmation/%d", id) }

func TestConfirmationsArePostedOnceAndTheirOutcomeIsWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &owed{fail: 3}
		answers := []campaign.Answer{
			{Kind: campaign.AnswerAccepted}, {Kind: campaign.AnswerInDoubt}, {Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: "131047"}},
			{Kind: campaign.AnswerUnreachable}, {Kind: campaign.AnswerAccepted},
		}
		for i := range int64(4) {
			o.waiting = append(o.waiting, campaign.Confirmation{ID: i + 1, Channel: 1, Phone: "+4915123456789", Text: "out"})
		}
		var posts []string
		var at []time.Time
		m := &memory{channels: []campaign.Channel{{ID: 1, Name: "c", Rate: 2}}, claim: ok}
		s := New(context.Background(), Config{Store: m, Logger: slog.New(slog.DiscardHandler), Confirmations: o,
			Connect: func(campaign.Channel) (Provider, error) {
				return providerFunc(func(_ context.Context, r *campaign.Request) campaign.Answer {
					if r.Template != nil || r.Text != "out" || r.To != "+4915123456789" || !r.Validity.Begin() {
						t.Errorf("request %+v", r)
					}
					posts, at = append(posts, r.Opaque), append(at, time.Now())
					return answers[len(posts)-1]
				}), nil
			}})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.Run(ctx)
		}()
		time.Sleep(time.Minute)
		stop()
		<-done
		if err := s.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		s.Close()
		if want := []string{"d/confirmation/1", "d/confirmation/2", "d/confirmation/3", "d/confirmation/4", "d/confirmation/4"}; !slices.Equal(posts, want) {
			t.Errorf("posted %q", posts)
		}
		if want := []string{"1 sent ", "2 unknown in_doubt", "3 failed 131047", "4 waiting unreachable", "4 sent "}; !slices.Equal(o.ends, want) {
			t.Errorf("ended %q", o.ends)
		}
		for i := 1; i < len(at); i++ {
			if i >= 2 && at[i].Sub(at[i-2]) < 500*time.Millisecond {
				t.Errorf("at 2/s posts %d to %d took %v", i-2, i, at[i].Sub(at[i-2]))
			}
		}
	})
}

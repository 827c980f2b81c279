package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// crowd is everybody who works on the same messages at once.
type crowd struct {
	*fixture
	t  *testing.T
	wg sync.WaitGroup
}

// keepDoing starts n goroutines that each do something a number of times; what it
// returns must never be an error: a deadlock is repeated inside the store.
func (c *crowd) keepDoing(n, times int, what string, do func(context.Context, *rand.Rand) error) {
	for i := range n {
		c.wg.Add(1)
		go func() {
			defer c.wg.Done()
			random := rand.New(rand.NewPCG(uint64(i), uint64(len(what))))
			for range times {
				if err := do(context.Background(), random); err != nil {
					c.t.Errorf("%s: %v", what, err)
					return
				}
			}
		}()
	}
}

// turnsOf reads the turns that have jobs, in no order.
func (c *crowd) turnsOf(ctx context.Context, limit int, random *rand.Rand) ([]campaign.Turn, error) {
	rows, err := c.pool.Query(ctx, `SELECT (args->>'message')::bigint, (args->>'attempt')::int FROM river.river_job WHERE kind = 'send' ORDER BY random() LIMIT $1`, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (campaign.Turn, error) {
		turn := campaign.Turn{Campaign: c.campaign, Channel: c.channel}
		for i := range turn.Claim {
			turn.Claim[i] = byte(random.Uint32())
		}
		return turn, row.Scan(&turn.Message, &turn.Attempt)
	})
}

func (c *crowd) clock(ctx context.Context) (at time.Time, err error) {
	return at, c.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&at)
}

// TestStoreUnderACrowd lets everybody at the same few messages: no deadlock gets
// out, nothing is claimed between a pause and its resume nor for anybody who
// opted out, nobody is claimed twice for one turn, and the counters are the rows.
func TestStoreUnderACrowd(t *testing.T) {
	t.Parallel()
	c := &crowd{fixture: newFixture(t, 60), t: t}
	var mu sync.Mutex
	posted := map[string]int{} // by turn

	answers := []campaign.Answer{
		{Kind: campaign.AnswerAccepted, RawStatus: "accepted"}, {Kind: campaign.AnswerInDoubt}, {Kind: campaign.AnswerUnreachable},
		{Kind: campaign.AnswerAbandoned}, {Kind: campaign.AnswerAbandoned}, {Kind: campaign.AnswerAbandoned},
		{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: "131000", Class: campaign.RetryClass}},
		{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: "131049", Class: campaign.RetryClass, RestContact: true}},
		{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: "131057", Class: campaign.PauseAccount, Hold: time.Millisecond}},
		{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: "131056", Class: campaign.PauseTemplate, Hold: time.Millisecond}},
	}
	c.keepDoing(4, 60, "work", func(ctx context.Context, random *rand.Rand) error {
		turns, err := c.turnsOf(ctx, 20, random)
		if err != nil || len(turns) == 0 {
			time.Sleep(5 * time.Millisecond)
			return err
		}
		claimed, err := c.Claim(ctx, turns)
		if err != nil {
			return err
		}
		var outcomes []campaign.Outcome
		for i, turn := range turns {
			if !claimed[i].OK {
				continue
			}
			mu.Lock()
			posted[c.Opaque(turn.Message, turn.Attempt)]++
			mu.Unlock()
			answer := answers[random.IntN(len(answers))]
			if answer.Kind == campaign.AnswerAccepted {
				answer.ProviderID = fmt.Sprintf("wamid.%d.%d", turn.Message, turn.Attempt)
			}
			outcomes = append(outcomes, campaign.Outcome{Turn: turn, Answer: answer})
		}
		random.Shuffle(len(outcomes), func(i, j int) { outcomes[i], outcomes[j] = outcomes[j], outcomes[i] })
		return c.Record(ctx, outcomes)
	})
	c.keepDoing(1, 150, "fan out", func(ctx context.Context, _ *rand.Rand) error {
		_, err := c.FanOut(ctx, c.channel, 1000, 1000)
		time.Sleep(5 * time.Millisecond)
		if err == nil { // what waits for a retry is due at once
			_, err = c.pool.Exec(ctx, `UPDATE campaign.messages SET due_at = now() WHERE id IN (SELECT id FROM campaign.messages WHERE due_at > now() ORDER BY id FOR UPDATE SKIP LOCKED)`)
		}
		return err
	})
	c.keepDoing(2, 80, "webhooks", func(ctx context.Context, random *rand.Rand) error {
		var events []campaign.Event
		mu.Lock()
		for opaque := range posted {
			if len(events) < 20 && random.IntN(3) == 0 {
				f := answers[6+random.IntN(4)].Failure
				events = append(events, campaign.Event{Kind: campaign.EventStatus, Messages: true, Opaque: opaque, Failure: &f,
					Status: []string{"sent", "failed", "failed", "delivered"}[random.IntN(4)], At: time.Now()})
			}
		}
		mu.Unlock()
		_, err := c.ApplyDeliveries(ctx, c.channel, []campaign.Parsed{{Events: events}})
		return err
	})
	c.keepDoing(1, 20, "pause", func(ctx context.Context, random *rand.Rand) error {
		if err := c.Pause(ctx, c.campaign, "lunch"); err != nil {
			return err
		}
		from, err := c.clock(ctx)
		if err != nil {
			return err
		}
		time.Sleep(time.Duration(random.IntN(15)) * time.Millisecond)
		var claims int
		if err := c.pool.QueryRow(ctx, `SELECT count(*) FROM campaign.messages WHERE claimed_at > $1`, from).Scan(&claims); err != nil {
			return err
		}
		if claims > 0 {
			t.Errorf("%d messages were claimed after the pause was confirmed", claims)
		}
		_, err = c.Resume(ctx, c.campaign)
		return err
	})
	optedOut := map[string]time.Time{}
	c.keepDoing(1, 15, "opt out", func(ctx context.Context, random *rand.Rand) error {
		phone := fmt.Sprint("+491510", 1000001+random.IntN(c.n))
		if _, err := c.SetOptOut(ctx, []campaign.ContactRow{{Phone: phone, MatchKey: phone}}, "test"); err != nil {
			return err
		}
		at, err := c.clock(ctx)
		mu.Lock()
		defer mu.Unlock()
		if _, before := optedOut[phone]; !before {
			optedOut[phone] = at
		}
		return err
	})
	c.keepDoing(1, 40, "chores", func(ctx context.Context, random *rand.Rand) error {
		if err := c.FoldCounts(ctx); err != nil {
			return err
		}
		if _, err := c.Repair(ctx, true); err != nil {
			return err
		}
		if _, err := c.Complete(ctx); err != nil {
			return err
		}
		if random.IntN(4) > 0 {
			return nil
		}
		if err := c.PutHold(ctx, campaign.Hold{Scope: campaign.HoldAccount, ScopeID: 1, Source: campaign.SourceAccount, Reason: "test"}); err != nil {
			return err
		}
		_, err := c.ResumeChannel(ctx, c.channel)
		return err
	})
	c.wg.Wait()
	if t.Failed() {
		return
	}
	ctx := t.Context()
	for turn, n := range posted {
		if n > 1 {
			t.Errorf("turn %s was claimed %d times", turn, n)
		}
	}
	for phone, at := range optedOut {
		var claims int
		if err := c.pool.QueryRow(ctx, `SELECT count(*) FROM campaign.messages WHERE phone = $1 AND claimed_at > $2`, phone, at).Scan(&claims); err != nil {
			t.Fatal(err)
		}
		if claims > 0 {
			t.Error("a message was claimed after its person's opt-out was confirmed")
		}
	}
	c.counts(t)
	if err := c.Cancel(ctx, c.campaign); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Repair(ctx, true); err != nil {
		t.Fatal(err)
	}
	for n := 1; n > 0; {
		var err error
		if n, err = c.Sweep(ctx, c.campaign); err != nil {
			t.Fatal(err)
		}
	}
	findings, err := c.Verify(ctx, 0, nil)
	if err != nil || len(findings) > 0 {
		t.Errorf("at the end: %+v, %v", findings, err)
	}
}

package postgres_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// BenchmarkMessage is what the database's part of a message costs, stage by
// stage, one batch after the other from one connection: ns/op is a message's
// share. Run it with a fixed number of messages, on a server with durable
// settings:
//
//	CAMPAIGN_TEST_DATABASE_URL=… go test -run - -bench Message -benchtime 40000x ./internal/postgres
func BenchmarkMessage(b *testing.B) {
	hot := func(b *testing.B, f *fixture) {
		b.StopTimer()
		time.Sleep(1500 * time.Millisecond) // the statistics come with a delay
		var updates, hot float64
		if err := f.pool.QueryRow(context.Background(), `SELECT sum(n_tup_upd), sum(n_tup_hot_upd) FROM pg_stat_user_tables WHERE relname ~ '^messages_[0-9]'`).Scan(&updates, &hot); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(100*hot/updates, "%hot")
	}
	const batch = 250
	fanOut := func(b *testing.B, f *fixture) {
		for left := f.n; left > 0; {
			n, err := f.FanOut(b.Context(), f.channel, 1<<30, 5000)
			if err != nil || n == 0 {
				b.Fatal(n, err)
			}
			left -= n
		}
	}
	take := func(b *testing.B, f *fixture) []campaign.Turn {
		turns := make([]campaign.Turn, 0, f.n)
		wants := make([]campaign.Want, batch)
		for len(turns) < f.n {
			for i := range wants {
				wants[i] = campaign.Want{Channel: f.channel}
				binary.BigEndian.PutUint64(wants[i].Claim[:], uint64(len(turns)+i+1))
			}
			taken, err := f.Take(b.Context(), wants)
			if err != nil || !taken[0].OK {
				b.Fatal(taken[0], err)
			}
			for _, k := range taken {
				if k.OK {
					turns = append(turns, k.Turn)
				}
			}
		}
		return turns
	}
	record := func(b *testing.B, f *fixture, turns []campaign.Turn) {
		outcomes := make([]campaign.Outcome, 0, batch)
		for part := range slices.Chunk(turns, batch) {
			outcomes = outcomes[:0]
			for _, turn := range part {
				outcomes = append(outcomes, campaign.Outcome{Turn: turn, Answer: campaign.Answer{Kind: campaign.AnswerAccepted,
					RawStatus: "accepted", ProviderID: fmt.Sprintf("wamid.%d", turn.Message-f.first)}})
			}
			if err := f.Record(b.Context(), outcomes); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("FanOut", func(b *testing.B) {
		f := newFixture(b, b.N)
		b.ResetTimer()
		fanOut(b, f)
		hot(b, f)
	})
	b.Run("Take", func(b *testing.B) {
		f := newFixture(b, b.N)
		fanOut(b, f)
		b.ResetTimer()
		take(b, f)
		hot(b, f)
	})
	b.Run("Outcome", func(b *testing.B) {
		f := newFixture(b, b.N)
		fanOut(b, f)
		turns := take(b, f)
		b.ResetTimer()
		record(b, f, turns)
		hot(b, f)
	})
	b.Run("Status", func(b *testing.B) {
		f := newFixture(b, b.N)
		fanOut(b, f)
		turns := take(b, f)
		record(b, f, turns)
		b.ResetTimer()
		for part := range slices.Chunk(turns, 4*batch) {
			events := make([]campaign.Event, 0, len(part))
			for _, turn := range part {
				events = append(events, f.status(int(turn.Message-f.first), "delivered"))
			}
			if _, err := f.deliver(b, events); err != nil {
				b.Fatal(err)
			}
		}
		hot(b, f)
	})
}

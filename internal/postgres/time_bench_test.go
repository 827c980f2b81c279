package postgres_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/pgtest"
	"github.com/campaignd/campaignd/internal/postgres"
)

// BenchmarkClaimAtItsTime claims 100,000 messages in batches of 500 to people who
// got two others before: without anything, with a window, with a cap. Two cores,
// PostgreSQL 15: 12 ms for a batch, 33 ms with a cap; with a window 20.2 ms where
// it was 19.5 without. A cap whose posts were read by joins made 20 ms 78, which
// is why sql/cap_posts.sql has none.
func BenchmarkClaimAtItsTime(b *testing.B) {
	const people, size = 100_000, 500
	for _, c := range []struct {
		name   string
		spec   string
		capped bool
	}{
		{"Plain", `{}`, false},
		{"Window", `{"schedule":{"window":"00:00-24:00"}}`, false},
		{"Cap", `{}`, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			ctx := context.Background()
			pool := pgtest.DB(b)
			store, err := postgres.Open(ctx, pool)
			if err != nil {
				b.Fatal(err)
			}
			var first campaign.MessageID
			exec := func(query string, args ...any) {
				b.Helper()
				if _, err := pool.Exec(ctx, query, args...); err != nil {
					b.Fatal(err)
				}
			}
			exec(`WITH a AS (INSERT INTO campaign.accounts (name) VALUES ('a') RETURNING id)
				INSERT INTO campaign.channels (name, phone, base_url, key_ref, webhook_secret_ref, account_id)
				SELECT 'c', '+4930000000', 'http://127.0.0.1:1', 'env:K', 'env:S', id FROM a`)
			exec(`INSERT INTO campaign.templates (channel_id, name, language, status, category, format, sendable, slots, parts, components)
				SELECT id, 't', 'en', 'APPROVED', 'MARKETING', 'POSITIONAL', true, '[]', '[]', '{}' FROM campaign.channels`)
			exec(`INSERT INTO campaign.contacts (opt_in, phone, match_key) SELECT true, '+4915' || (10000000 + i), '+4915' || (10000000 + i) FROM generate_series(1, $1::int) AS i`, people)
			exec(`INSERT INTO campaign.zone_sets (country, zones) VALUES ('', '{Europe/Berlin}')`)
			for n, state := range []string{"delivered", "read", "queued"} {
				spec := `{}`
				if state == "queued" {
					spec = c.spec
				}
				exec(`INSERT INTO campaign.campaigns (name, channel_id, state, started_at, spec, spec_hash) SELECT $1, id, 'running', now(), $2, '' FROM campaign.channels`, fmt.Sprint(n), spec)
				exec(`INSERT INTO campaign.messages (campaign_id, channel_id, template_id, contact_id, phone, state, attempt, claimed_at, zone_set)
					SELECT c.id, c.channel_id, t.id, p.id, p.phone, $2, 1, CASE WHEN $2 <> 'queued' THEN now() - interval '2 days' END, z.id
					  FROM campaign.campaigns AS c, campaign.templates AS t, campaign.contacts AS p, campaign.zone_sets AS z WHERE c.name = $1 ORDER BY p.id`, fmt.Sprint(n), state)
				exec(`UPDATE campaign.campaigns AS c SET (first_id, last_id, total) = (SELECT min(id), max(id), count(*) FROM campaign.messages WHERE campaign_id = c.id) WHERE name = $1`, fmt.Sprint(n))
			}
			exec(`VACUUM ANALYZE campaign.messages`)
			exec(`VACUUM ANALYZE campaign.contacts`)
			if c.capped {
				if err := store.SetFrequencyCap(ctx, &campaign.FrequencyCap{Messages: 3, Per: 7 * 24 * time.Hour, Then: campaign.CapSkip}); err != nil {
					b.Fatal(err)
				}
			}
			var id campaign.ID
			var channel campaign.ChannelID
			if err := pool.QueryRow(ctx, `SELECT id, channel_id, first_id FROM campaign.campaigns WHERE name = '2'`).Scan(&id, &channel, &first); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			claimed := 0
			for i := 0; b.Loop(); i++ {
				if (i+1)*size > people {
					b.Fatalf("all %d are claimed: run it with -benchtime 200x or less", people)
				}
				turns := make([]campaign.Turn, size)
				for k := range turns {
					turns[k] = campaign.Turn{Message: first + campaign.MessageID(i*size+k), Attempt: 1, Campaign: id, Channel: channel}
					rand.Read(turns[k].Claim[:])
				}
				done, err := store.Claim(ctx, turns)
				if err != nil {
					b.Fatal(err)
				}
				for _, d := range done {
					if d.OK {
						claimed++
					}
				}
			}
			b.StopTimer()
			if claimed != b.N*size {
				b.Errorf("%d of %d claimed", claimed, b.N*size)
			}
		})
	}
}

package postgres_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
	"github.com/campaignd/campaignd/internal/phone"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/webhook"
)

// The person to forget, who stands in the database under both forms of a
// Brazilian number.
const (
	forgottenPhone = "+5541987654321"
	forgottenWaID  = "554187654321"
	forgottenUser  = "BR.13491208655302741918"
	forgottenName  = "Ana Esquecida"
)

func wamidOf(digits string, n int) string {
	return "wamid." + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "\x1c\x18%c%s\x15\x02\x00\x11\x18\x12%018d\x00", len(digits), digits, n))
}

// traces are what must not be left of the person.
func leftOvers() []string {
	words := []string{forgottenName, forgottenUser}
	for _, digits := range []string{forgottenPhone[1:], forgottenWaID} {
		words = append(words, digits, wamidOf(digits, 0)[:len("wamid.")+4+len(digits)])
		for before := range 3 {
			encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + digits))
			words = append(words, encoded[4:len(encoded)-4])
		}
	}
	return words
}

// dump gives every row of every table as text, stored bodies decoded.
func (f *fixture) dump(t *testing.T) string {
	t.Helper()
	ctx := t.Context()
	rows, err := f.pool.Query(ctx, `SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('campaign', 'river') ORDER BY 1, 2`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (pgx.Identifier, error) {
		var schema, table string
		return pgx.Identifier{schema, table}, row.Scan(&schema, &table)
	})
	if err != nil || len(tables) < 20 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	var text bytes.Buffer
	conn, err := f.pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, table := range tables {
		// A bytea is decoded as far as it is text.
		query := `COPY (SELECT to_jsonb(t)::text FROM ` + table.Sanitize() + ` AS t) TO STDOUT`
		if table[1] == "webhooks" {
			query = `COPY (SELECT id, problem, convert_from(body, 'UTF8') FROM ` + table.Sanitize() + `) TO STDOUT`
		}
		if _, err := conn.Conn().PgConn().CopyTo(ctx, &text, query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	return text.String()
}

func (f *fixture) forget(t *testing.T) campaign.Forgotten {
	t.Helper()
	return f.forgetNumber(t, forgottenPhone)
}

func (f *fixture) forgetNumber(t *testing.T, number string) campaign.Forgotten {
	t.Helper()
	done, err := f.Forget(t.Context(), postgres.ForgetOptions{
		MatchKey: phone.MatchKey(number), Phones: phone.Forms(number), Patience: time.Second,
		Traces: func(phones, userIDs []string) postgres.Eraser { return dialog360.NewTraces(phones, userIDs) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// apply applies what is stored, as the daemon does.
func (f *fixture) apply(t *testing.T) {
	t.Helper()
	a := &webhook.Applier{Store: f.Store, Explain: dialog360.Explain, Logger: slog.New(slog.DiscardHandler),
		Parse: func(body []byte) ([]campaign.Event, error) {
			events, err := dialog360.ParseWebhook(body)
			for i := range events {
				e := &events[i]
				if e164, ok := phone.FromWaID(e.From + e.Recipient + e.User); ok {
					e.MatchKey = phone.MatchKey(e164)
					e.Person = campaign.ContactRow{Phone: e164, MatchKey: e.MatchKey}
				}
			}
			return events, err
		},
		Erase: func(body []byte, people []string) ([]byte, bool) {
			return dialog360.NewTraces(phone.Forms(forgottenPhone), []string{forgottenUser}).Erase(body)
		}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	defer func() { stop(); <-ended }()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if n, _, err := f.Inbox(t.Context()); err == nil && n == 0 {
			return
		}
	}
	t.Fatal("webhooks were never applied")
}

func (f *fixture) store(t *testing.T, bodies ...string) {
	t.Helper()
	var ds []campaign.Delivery
	for _, body := range bodies {
		ds = append(ds, campaign.Delivery{Channel: f.channel, Body: []byte(body)})
	}
	if err := f.SaveDeliveries(t.Context(), ds); err != nil {
		t.Fatal(err)
	}
}

func envelope(parts string) string {
	return `{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messaging_product":"whatsapp",` + parts + `}}]}]}`
}

// forgettable is a fixture in which the person has left traces everywhere: of
// three messages the first was sent and failed and waits for its retry, the
// second was sent, the third is somebody else's.
func forgettable(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t, 3)
	f.exec(t, `UPDATE campaign.contacts SET phone = $1, match_key = $1, attributes = jsonb_build_object('name', $2::text) WHERE phone = $3`, forgottenPhone, forgottenName, phoneOf(0))
	f.exec(t, `UPDATE campaign.contacts SET phone = $1, match_key = $2 WHERE phone = $3`, "+"+forgottenWaID, forgottenPhone, phoneOf(1))
	f.exec(t, `UPDATE campaign.messages AS m SET phone = c.phone, parameters = jsonb_build_object('body.1', $1::text) FROM campaign.contacts AS c WHERE c.id = m.contact_id`, forgottenName)
	f.exec(t, `UPDATE campaign.messages SET parameters = '{"body.1":"somebody else"}' WHERE id = $1`, f.first+2)
	f.exec(t, `WITH l AS (INSERT INTO campaign.lists (name) VALUES ('l') RETURNING id) INSERT INTO campaign.list_members SELECT l.id, c.id FROM l, campaign.contacts AS c`)
	f.exec(t, `INSERT INTO campaign.messages (channel_id, template_id, phone, state, reason) VALUES ($1, $2, $3, 'skipped', 'expired')`, f.channel, f.template, forgottenPhone)
	f.exec(t, `INSERT INTO campaign.message_count_deltas VALUES (0, $1, 'skipped', 'expired', 1)`, f.channel)
	f.fanOut(t)
	turns := f.turns()
	var outcomes []campaign.Outcome
	for i, turn := range turns {
		// One claim at a time: both forms are one person.
		if _, err := f.Claim(t.Context(), []campaign.Turn{turn}); err != nil {
			t.Fatal(err)
		}
		digits := []string{forgottenWaID, forgottenWaID, phoneOf(2)[1:]}[i]
		outcomes = append(outcomes, campaign.Outcome{Turn: turn, Answer: campaign.Answer{Kind: campaign.AnswerAccepted, ProviderID: wamidOf(digits, i), RawStatus: "accepted"}})
	}
	if err := f.Record(t.Context(), outcomes); err != nil {
		t.Fatal(err)
	}
	status := func(i int, digits, word, more string) string {
		return fmt.Sprintf(`{"id":%q,"status":%q,"timestamp":"%d","recipient_id":%q,"recipient_user_id":%q,"biz_opaque_callback_data":%q%s}`,
			wamidOf(digits, i), word, time.Now().Unix(), digits, map[bool]string{true: forgottenUser}[digits == forgottenWaID], f.Opaque(f.first+campaign.MessageID(i), 1), more)
	}
	f.store(t,
		envelope(`"statuses":[`+status(0, forgottenWaID, "failed", `,"errors":[{"code":131049,"title":"t"}]`)+`,`+status(1, forgottenWaID, "delivered", "")+`,`+status(2, phoneOf(2)[1:], "delivered", "")+`]`),
		envelope(`"contacts":[{"profile":{"name":"`+forgottenName+`"},"wa_id":"`+forgottenWaID+`","user_id":"`+forgottenUser+`"}],"messages":[{"from":"`+forgottenWaID+
			`","id":"`+wamidOf(forgottenWaID, 77)+`","timestamp":"1700000000","type":"text","text":{"body":"hello"},"context":{"id":"`+wamidOf(forgottenWaID, 1)+`"}}]`),
		envelope(`"statuses":[{"id":"`+wamidOf(forgottenWaID, 99)+`","status":"sent","timestamp":"1700000000","recipient_id":"`+forgottenWaID+`"}]`))
	f.apply(t)
	// The former attempt of a retry, as a claim writes it.
	f.exec(t, `INSERT INTO campaign.attempts (message_id, attempt, provider_id, state) VALUES ($1, 7, $2, 'failed')`, f.first, wamidOf(forgottenWaID, 50))
	// A service's jobs, one done and one that waits.
	for state, at := range map[string]string{"cancelled": "finalized_at", "scheduled": "scheduled_at"} {
		f.exec(t, `INSERT INTO river.river_job (kind, queue, args, max_attempts, state, `+at+`)
			VALUES ('enqueue_message', 'enqueue', jsonb_build_object('recipient', $1::text, 'parameters', $2::text), 25, '`+state+`', now() + interval '1 hour')`, forgottenPhone, forgottenName)
	}
	return f
}

func TestForgetLeavesNoTrace(t *testing.T) {
	t.Parallel()
	f := forgettable(t)
	before := f.dump(t)
	for _, word := range []string{forgottenName, forgottenUser, forgottenWaID, forgottenPhone, wamidOf(forgottenWaID, 0)[:20]} {
		if !strings.Contains(before, word) {
			t.Fatalf("the test would not notice: %s is not there before", word)
		}
	}
	if _, err := f.Suppress(t.Context(), []campaign.Suppression{{Phone: forgottenPhone, MatchKey: forgottenPhone, Reason: forgottenName}}); err != nil {
		t.Fatal(err)
	}
	done := f.forget(t)
	if done.Contacts != 2 || done.Messages != 3 || done.Replies != 1 || done.Webhooks != 3 {
		t.Errorf("%+v", done)
	}
	gone := func(when string) {
		t.Helper()
		text := f.dump(t)
		for _, word := range leftOvers() {
			if i := strings.Index(text, word); i >= 0 {
				t.Errorf("%s: %q is left in %s", when, word, text[max(0, i-200):min(len(text), i+100)])
			}
		}
		if !strings.Contains(text, phoneOf(2)) || !strings.Contains(text, wamidOf(phoneOf(2)[1:], 2)) || !strings.Contains(text, "somebody else") {
			t.Errorf("%s: somebody else was erased, too", when)
		}
	}
	gone("after forget")
	if got := []string{f.stateOf(t, 0), f.stateOf(t, 1), f.stateOf(t, 2)}; fmt.Sprint(got) != "[failed/suppressed delivered delivered]" {
		t.Errorf("%v", got)
	}
	f.counts(t)
	if again := f.forget(t); again != (campaign.Forgotten{}) {
		t.Errorf("a second time: %+v", again)
	}

	// What comes late counts, and brings nobody back.
	late := func(word string) string {
		return fmt.Sprintf(`{"id":%q,"status":%q,"timestamp":"1700000000","recipient_id":%q,"biz_opaque_callback_data":%q}`,
			wamidOf(forgottenWaID, 1), word, forgottenWaID, f.Opaque(f.first+1, 1))
	}
	f.store(t, envelope(`"statuses":[`+late("read")+`]`),
		envelope(`"statuses":[{"id":"`+wamidOf(forgottenWaID, 1)+`","status":"read","timestamp":"1","recipient_id":"`+forgottenWaID+`"}]`),
		envelope(`"contacts":[{"wa_id":"`+forgottenWaID+`"}],"messages":[{"from":"`+forgottenWaID+`","id":"`+wamidOf(forgottenWaID, 78)+`","timestamp":"1700000000","type":"text","text":{"body":"stop"}}]`),
		envelope(`"user_preferences":[{"wa_id":"`+forgottenWaID+`","user_id":"`+forgottenUser+`","value":"stop","timestamp":1700000000}]`))
	f.apply(t)
	if got := f.stateOf(t, 1); got != "read" {
		t.Errorf("a late report: %s", got)
	}
	f.counts(t)
	gone("after late webhooks")

	// An import of the number is suppressed.
	yes := true
	mustImport(t, f.Store, postgres.ImportOptions{List: "again"}, rowsOf(campaign.ContactRow{Phone: "+" + forgottenWaID, MatchKey: forgottenPhone, OptIn: &yes}))
	c, err := f.Contact(t.Context(), "+"+forgottenWaID, forgottenPhone)
	if err != nil || !c.Suppressed {
		t.Errorf("imported again: %+v, %v", c, err)
	}
}

// The numbers around a forgotten one, which share most of the base64 of their
// provider ids with it, are other people.
func TestForgetLeavesNeighbours(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"1204234000", "49170123456", "491511238400"} {
		t.Run(fmt.Sprint(len(base)+1), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 1)
			neighbours := []string{base, base + "12", "1" + base + "1"}
			for last := range 10 {
				neighbours = append(neighbours, fmt.Sprint(base, last))
			}
			var elements []string
			for i, digits := range neighbours {
				id := wamidOf(digits, i)
				elements = append(elements, `{"id":"`+id+`","status":"sent","timestamp":"1700000000","recipient_id":"`+digits+`"}`)
				f.exec(t, `INSERT INTO campaign.unmatched_statuses (channel_id, provider_id, status) VALUES ($1, $2, 'sent')`, f.channel, id)
				f.exec(t, `INSERT INTO campaign.replies (channel_id, provider_id, type) VALUES ($1, $2, 'text')`, f.channel, id)
				f.exec(t, `INSERT INTO river.river_job (kind, queue, args, max_attempts, state, scheduled_at)
					VALUES ('enqueue_message', 'enqueue', jsonb_build_object('recipient', $1::text), 25, 'scheduled', now() + interval '1 hour')`, "+"+digits)
			}
			f.store(t, envelope(`"statuses":[`+strings.Join(elements, ",")+`]`), envelope(`"statuses":[{"id":"`+wamidOf(base+"2", 99)+`"}]`))
			f.exec(t, `UPDATE campaign.webhooks SET applied_at = now()`)

			if done := f.forgetNumber(t, "+"+base+"1"); done.Replies != 1 || done.Webhooks != 1 {
				t.Errorf("%+v", done)
			}
			text := f.dump(t)
			for i, digits := range neighbours {
				id := wamidOf(digits, i)
				for what, want := range map[string]int{
					`"provider_id": "` + id:          2, // the status and the reply
					`"id":"` + id:                    1,
					`"recipient": "+` + digits + `"`: 1,
				} {
					if digits == base+"1" {
						want = 0
					}
					if got := strings.Count(text, what); got != want {
						t.Errorf("%s, %s is there %d times, not %d", digits, what, got, want)
					}
				}
			}
		})
	}
}

// A POST that is on the wire while its person is forgotten is waited for, and
// what is left of it names nobody.
func TestForgetWaitsForWhatIsOnTheWire(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	f.exec(t, `UPDATE campaign.contacts SET phone = $1, match_key = $1`, forgottenPhone)
	f.exec(t, `UPDATE campaign.messages SET phone = $1`, forgottenPhone)
	f.fanOut(t)
	turn := f.turns()
	if claimed, err := f.Claim(t.Context(), turn); err != nil || !claimed[0].OK {
		t.Fatalf("%+v, %v", claimed, err)
	}
	begun := time.Now()
	f.forget(t)
	if took := time.Since(begun); took < time.Second {
		t.Errorf("it did not wait: %v", took)
	}
	answer := campaign.Answer{Kind: campaign.AnswerAccepted, ProviderID: wamidOf(forgottenWaID, 1), RawStatus: "accepted"}
	if err := f.Record(t.Context(), []campaign.Outcome{{Turn: turn[0], Answer: answer}}); err != nil {
		t.Fatal(err)
	}
	text := f.dump(t)
	for _, word := range leftOvers() {
		if strings.Contains(text, word) {
			t.Errorf("%s is left", word)
		}
	}
	if got := f.counts(t); got["accepted"] != 1 {
		t.Errorf("%v", got)
	}
}

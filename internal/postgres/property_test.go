package postgres_test

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/pgtest"
	"github.com/campaignd/campaignd/internal/postgres"
)

// casesByDefault and stepsByDefault keep this test to some seconds;
// -rapid.checks=1000 -rapid.steps=200 ask for more.
const (
	casesByDefault = "40"
	stepsByDefault = "80"
)

// TestStoreKeepsThePromise drives a database with random interleavings of all
// that daemons, providers, people and crashes do, and checks the promise after
// each step: every message in one bucket, counters equal to rows, no claim
// against a hold, no second POST while an earlier one may have arrived.
func TestStoreKeepsThePromise(t *testing.T) {
	for name, value := range map[string]string{"rapid.checks": casesByDefault, "rapid.steps": stepsByDefault} {
		if f := flag.Lookup(name); f.Value.String() == f.DefValue {
			if err := f.Value.Set(value); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Value.Set(f.DefValue) })
		}
	}
	pool := pgtest.DB(t)
	store, err := postgres.Open(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		w := newModel(t, store, pool)
		t.Repeat(w.actions())
		w.settle(t)
	})
}

// actions gives each action as often as it is worth.
func (w *model) actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){"": w.check}
	for _, a := range []struct {
		name   string
		weight int
		do     func(*rapid.T)
	}{
		{"work", 8, w.work}, {"take", 8, w.take}, {"fetch", 3, w.fetch}, {"claim", 3, w.claim}, {"post", 3, w.post}, {"record", 3, w.record},
		{"record again", 2, w.recordAgain}, {"fan out", 1, w.fanOut}, {"time passes", 4, w.timePasses},
		{"webhook", 8, w.webhook}, {"match again", 1, w.matchAgain}, {"fold", 1, w.fold}, {"complete", 1, w.complete},
		{"crash", 1, w.crash}, {"repair", 2, w.repair}, {"lose jobs", 1, w.loseJobs}, {"resolve", 4, w.resolve}, {"retry", 1, w.retry},
		{"pause", 1, w.pause}, {"resume", 4, w.resume}, {"hold channel", 1, w.holdChannel}, {"lift holds", 4, w.liftHolds},
		{"stop for good", 1, w.stopForGood}, {"sweep", 1, w.sweep},
	} {
		for i := range a.weight {
			actions[fmt.Sprint(a.name, " ", i)] = a.do
		}
	}
	return actions
}

// stopForGood is what cannot be taken back, and so must be rare.
func (w *model) stopForGood(t *rapid.T) {
	if rapid.Bool().Draw(t, "really") {
		rapid.SampledFrom([]func(*rapid.T){w.cancel, w.deadline, w.optOut}).Draw(t, "what")(t)
	}
}

// model is everybody around the store.
type model struct {
	store    *postgres.Store
	pool     *pgxpool.Pool
	channel  campaign.ChannelID
	other    campaign.ChannelID
	template campaign.TemplateID

	campaigns []modelCampaign
	contacts  []modelContact
	messages  []*modelMessage
	byID      map[campaign.MessageID]*modelMessage

	workers  []*worker
	finished []campaign.Outcome // recorded once, and perhaps once more
	claims   uint64
	held     bool // a person holds the channel
	retried  bool // the last step was a person's retry
	changed  bool // the last step did something
}

type modelCampaign struct {
	id                         campaign.ID
	paused, cancelled, expired bool
}

type modelContact struct {
	id       campaign.ContactID
	phone    string
	optedOut bool
}

type modelMessage struct {
	id       campaign.MessageID
	campaign *modelCampaign
	contact  *modelContact
	posts    map[int]int  // POSTs that the provider saw, by attempt
	taken    map[int]bool // it took the message
	reported map[int]bool // and reported its failure
	claims   int
	resends  int
	last     row
}

type row struct {
	state           campaign.MessageState
	attempt, posted int
	posts           int
	proof           campaign.Proof
	claim           string
}

type stage int

const (
	fetched  stage = iota // has a job
	asked                 // asked for its claim; the reply was lost
	claimed               // may post
	answered              // has an answer to record
)

type worker struct {
	turn      campaign.Turn
	job       int64
	stage     stage
	committed bool // its claim is
	expired   bool // its claim is too old to be used
	answer    campaign.Answer
}

func newModel(t *rapid.T, store *postgres.Store, pool *pgxpool.Pool) *model {
	w := &model{store: store, pool: pool, byID: map[campaign.MessageID]*modelMessage{}}
	ctx := context.Background()
	must(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		for _, table := range []string{"campaign.messages", "campaign.attempts", "campaign.provider_ids", "campaign.message_counts",
			"campaign.message_count_deltas", "campaign.unmatched_statuses", "campaign.holds", "campaign.campaigns", "campaign.contacts",
			"campaign.templates", "campaign.channels", "campaign.accounts", "campaign.claims", "river.river_job"} {
			b.Queue(`DELETE FROM ` + table)
		}
		b.Queue(`WITH a AS (INSERT INTO campaign.accounts (name) VALUES ('a') RETURNING id)
			INSERT INTO campaign.channels (name, phone, base_url, key_ref, webhook_secret_ref, account_id, webhooks_since)
			SELECT 'c' || i, '+4930000000' || i, 'http://127.0.0.1:1', 'env:K', 'env:S', id, now() - interval '1 day' FROM a, generate_series(1, 2) AS i
			RETURNING id`).Query(func(rows pgx.Rows) error {
			ids, err := pgx.CollectRows(rows, pgx.RowTo[campaign.ChannelID])
			w.channel, w.other = ids[0], ids[1]
			return err
		})
		return tx.SendBatch(ctx, b).Close()
	}))
	must(t, pool.QueryRow(ctx, `INSERT INTO campaign.templates (channel_id, name, language, status, category, format, sendable, slots, parts, components)
		VALUES ($1, 't', 'en', 'APPROVED', 'MARKETING', 'POSITIONAL', true, '[]', '[]', '{}') RETURNING id`, w.channel).Scan(&w.template))
	w.campaigns, w.contacts = make([]modelCampaign, 2), make([]modelContact, 3)
	for i := range w.contacts {
		c := &w.contacts[i]
		c.phone = fmt.Sprintf("+49151000000%d", i)
		must(t, pool.QueryRow(ctx, `INSERT INTO campaign.contacts (phone, match_key, opt_in) VALUES ($1, $1, true) RETURNING id`, c.phone).Scan(&c.id))
	}
	for i := range w.campaigns {
		c := &w.campaigns[i]
		must(t, pool.QueryRow(ctx, `INSERT INTO campaign.campaigns (name, channel_id, state, spec, spec_hash, total, eligible)
			VALUES ($1, $2, 'running', '{"template":{"name":"t"}}', '', 2, 2) RETURNING id`, fmt.Sprint("x", i), w.channel).Scan(&c.id))
		for _, contact := range []*modelContact{&w.contacts[0], &w.contacts[1+i]} { // both write to the first one
			m := &modelMessage{campaign: c, contact: contact, posts: map[int]int{}, taken: map[int]bool{}, reported: map[int]bool{}}
			must(t, pool.QueryRow(ctx, `INSERT INTO campaign.messages (campaign_id, channel_id, template_id, contact_id, phone, state, due_at)
				VALUES ($1, $2, $3, $4, $5, 'pending', now()) RETURNING id`, c.id, w.channel, w.template, contact.id, contact.phone).Scan(&m.id))
			w.messages, w.byID[m.id] = append(w.messages, m), m
			m.last.state = campaign.Pending
		}
		w.exec(t, `UPDATE campaign.campaigns SET first_id = $2, last_id = $3 WHERE id = $1`, c.id, w.messages[2*i].id, w.messages[2*i+1].id)
		w.exec(t, `INSERT INTO campaign.message_count_deltas VALUES ($1, $2, 'pending', '', 2)`, c.id, w.channel)
	}
	return w
}

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *model) exec(t *rapid.T, query string, args ...any) {
	t.Helper()
	w.changed = true
	_, err := w.pool.Exec(context.Background(), query, args...)
	must(t, err)
}

func ctx() context.Context { return context.Background() }

// oneIn is true once in n times.
func oneIn(t *rapid.T, n int, label string) bool {
	return rapid.IntRange(1, n).Draw(t, label) == n
}

func (w *model) pickCampaign(t *rapid.T) *modelCampaign {
	return &w.campaigns[rapid.IntRange(0, len(w.campaigns)-1).Draw(t, "campaign")]
}

// some picks one to three of the workers at one of the stages, and none when
// there is none.
func (w *model) some(t *rapid.T, stages ...stage) []*worker {
	var at []*worker
	for _, k := range w.workers {
		if slices.Contains(stages, k.stage) {
			at = append(at, k)
		}
	}
	if len(at) == 0 {
		return nil
	}
	n := rapid.IntRange(1, min(3, len(at))).Draw(t, "workers")
	first := rapid.IntRange(0, len(at)-n).Draw(t, "first")
	return at[first : first+n]
}

// done ends workers and their jobs.
func (w *model) done(t *rapid.T, ended ...*worker) {
	for _, k := range ended {
		w.workers = slices.DeleteFunc(w.workers, func(other *worker) bool { return other == k })
		w.exec(t, `DELETE FROM river.river_job WHERE id = $1`, k.job)
	}
}

func (w *model) fanOut(t *rapid.T) {
	_, err := w.store.FanOut(ctx(), w.channel, rapid.IntRange(1, 5).Draw(t, "jobs"), rapid.IntRange(1, 3).Draw(t, "slice"))
	must(t, err)
	w.changed = true
}

// fetch starts a worker with a job, perhaps one that another worker has already:
// a rescue while the first still runs.
func (w *model) fetch(t *rapid.T) {
	jobs := w.jobs(t)
	if len(jobs) == 0 {
		return
	}
	w.fetchJob(jobs[rapid.IntRange(0, len(jobs)-1).Draw(t, "job")])
}

// work carries turns some way, mostly to their end.
func (w *model) work(t *rapid.T) {
	w.fetch(t)
	if len(w.workers) == 0 {
		w.fanOut(t)
		w.fetch(t)
	}
	for _, step := range []func(*rapid.T){w.claim, w.post, w.record} {
		if oneIn(t, 6, "interrupted") {
			return
		}
		step(t)
	}
}

func (w *model) fetchJob(k worker) {
	w.claims++
	binary.BigEndian.PutUint64(k.turn.Claim[8:], w.claims)
	w.workers = append(w.workers, &k)
}

// mayNot says why a message must not be claimed now, empty when it may.
func (w *model) mayNot(t *rapid.T, m *modelMessage) string {
	var holds int
	must(t, w.pool.QueryRow(ctx(), `SELECT count(*) FROM campaign.holds WHERE scope = 'template' AND (until IS NULL OR until > clock_timestamp())`).Scan(&holds))
	switch {
	case m.campaign.paused:
		return "the campaign is paused"
	case m.campaign.cancelled:
		return "the campaign is cancelled"
	case m.campaign.expired:
		return "the deadline has passed"
	case m.contact.optedOut:
		return "the person opted out"
	case w.held:
		return "the channel is held"
	case holds > 0:
		return "the template is held"
	}
	return ""
}

// take is what senders do: the next messages of the channel, whichever they are.
// The answer may be lost with the process that asked.
func (w *model) take(t *rapid.T) {
	against := map[campaign.MessageID]string{}
	for _, m := range w.messages {
		against[m.id] = w.mayNot(t, m)
	}
	wants := make([]campaign.Want, rapid.IntRange(1, 3).Draw(t, "wants"))
	for i := range wants {
		w.claims++
		wants[i].Channel = w.channel
		binary.BigEndian.PutUint64(wants[i].Claim[8:], w.claims)
	}
	results, err := w.store.Take(ctx(), wants)
	must(t, err)
	w.changed = true
	lost := oneIn(t, 6, "process lost")
	jobs := w.jobs(t)
	for i, r := range results {
		if r.Message == 0 || r.Again {
			continue
		}
		if slices.ContainsFunc(jobs, func(k worker) bool { return k.turn.Message == r.Message && k.turn.Attempt <= r.Attempt }) {
			t.Fatalf("message %d had its turn and its job is still there", r.Message)
		}
		if !r.OK {
			continue
		}
		m := w.byID[r.Message]
		m.claims++
		switch {
		case against[m.id] != "":
			t.Fatalf("message %d was claimed although %s", m.id, against[m.id])
		case r.Phone != m.contact.phone || r.Template != w.template || r.Claim != wants[i].Claim || r.Campaign != m.campaign.id:
			t.Fatalf("message %d was taken as %+v", m.id, r)
		case !lost:
			w.workers = append(w.workers, &worker{turn: r.Turn, stage: claimed, committed: true})
		}
	}
	for _, step := range []func(*rapid.T){w.post, w.record} {
		if oneIn(t, 6, "interrupted") {
			return
		}
		step(t)
	}
}

func (w *model) claim(t *rapid.T) {
	asking := w.some(t, fetched, asked)
	if len(asking) == 0 {
		return
	}
	turns := make([]campaign.Turn, len(asking))
	for i, k := range asking {
		turns[i] = k.turn
	}
	against := make([]string, len(asking))
	for i, k := range asking {
		against[i] = w.mayNot(t, w.byID[k.turn.Message])
	}
	results, err := w.store.Claim(ctx(), turns)
	must(t, err)
	w.changed = true
	lost := oneIn(t, 5, "reply lost")
	for i, k := range asking {
		m := w.byID[k.turn.Message]
		switch {
		case results[i].OK && !k.committed:
			if against[i] != "" {
				t.Fatalf("message %d was claimed although %s", m.id, against[i])
			}
			k.committed = true
			m.claims++
			fallthrough
		case results[i].OK:
			if results[i].Phone != m.contact.phone || results[i].Template != w.template {
				t.Fatalf("message %d was claimed as %+v", m.id, results[i])
			}
			k.stage = claimed
			if lost {
				k.stage = asked
			}
		case results[i].Again || lost:
		default:
			w.done(t, k)
		}
	}
}

// post is the provider: it sees a POST for every claim that is used.
func (w *model) post(t *rapid.T) {
	for _, k := range w.some(t, claimed) {
		kind := rapid.SampledFrom([]campaign.AnswerKind{campaign.AnswerAccepted, campaign.AnswerAccepted, campaign.AnswerHeld, campaign.AnswerFailed,
			campaign.AnswerInDoubt, campaign.AnswerInDoubt, campaign.AnswerUnreachable, campaign.AnswerAbandoned}).Draw(t, "answer")
		if k.expired {
			kind = campaign.AnswerAbandoned
		}
		w.postOne(t, k, kind)
	}
}

func (w *model) postOne(t *rapid.T, k *worker, kind campaign.AnswerKind) {
	m := w.byID[k.turn.Message]
	k.answer = campaign.Answer{Kind: kind}
	k.stage = answered
	taken := false
	switch kind {
	case campaign.AnswerAccepted:
		taken, k.answer.RawStatus = true, "accepted"
	case campaign.AnswerHeld:
		taken, k.answer.RawStatus = true, "held_for_quality_assessment"
	case campaign.AnswerFailed:
		k.answer.Failure = rapid.SampledFrom(failures).Draw(t, "failure")
	case campaign.AnswerInDoubt:
		taken = rapid.Bool().Draw(t, "taken")
	default:
		return // nothing was written
	}
	if m.posts[k.turn.Attempt]++; m.posts[k.turn.Attempt] > 1 {
		t.Fatalf("attempt %d of message %d was posted twice", k.turn.Attempt, m.id)
	}
	if taken {
		uncertain := 0
		for attempt := range m.taken {
			if !m.reported[attempt] {
				uncertain++
			}
		}
		if uncertain > m.resends {
			t.Fatalf("message %d was posted again although %d earlier POSTs were taken and nobody ordered a resend (%d were)", m.id, uncertain, m.resends)
		}
		m.taken[k.turn.Attempt] = true
	}
	if kind == campaign.AnswerAccepted || kind == campaign.AnswerHeld {
		k.answer.ProviderID = providerID(m.id, k.turn.Attempt)
	}
}

func providerID(id campaign.MessageID, attempt int) string {
	return fmt.Sprintf("wamid.%d.%d", id, attempt)
}

// failures of every class, as the catalogue has them.
var failures = []campaign.Failure{
	{Code: "131026", Class: campaign.Final},
	{Code: "131000", Class: campaign.RetryClass, Retry: campaign.Retry{First: time.Second, Factor: 2, Attempts: 4}},
	{Code: "130429", Class: campaign.SlowDown},
	{Code: "131049", Class: campaign.RetryClass, RestContact: true, NeverUS: true, Retry: campaign.Retry{First: 24 * time.Hour, Factor: 2, Attempts: 3}},
	{Code: "131050", Class: campaign.Final, OptOut: true},
	{Code: "132015", Class: campaign.PauseTemplate, Dropped: true},
	{Code: "131057", Class: campaign.PauseAccount, Hold: time.Millisecond},
}

func (w *model) record(t *rapid.T) {
	ready := w.some(t, answered)
	if len(ready) == 0 {
		return
	}
	var outcomes []campaign.Outcome
	for _, k := range ready {
		outcomes = append(outcomes, campaign.Outcome{Turn: k.turn, Answer: k.answer})
	}
	must(t, w.store.Record(ctx(), outcomes))
	w.changed = true
	w.finished = append(w.finished, outcomes...)
	if !oneIn(t, 5, "reply lost") {
		w.done(t, ready...)
	}
	w.syncOptOuts(t)
}

// recordAgain writes outcomes that were written before, for whatever the rows
// have become since.
func (w *model) recordAgain(t *rapid.T) {
	if len(w.finished) == 0 {
		return
	}
	n := rapid.IntRange(1, min(3, len(w.finished))).Draw(t, "outcomes")
	first := rapid.IntRange(0, len(w.finished)-n).Draw(t, "first")
	must(t, w.store.Record(ctx(), w.finished[first:first+n]))
	w.changed = true
	w.syncOptOuts(t)
}

// syncOptOuts notes whom the provider's answers opted out.
func (w *model) syncOptOuts(t *rapid.T) {
	for i := range w.contacts {
		must(t, w.pool.QueryRow(ctx(), `SELECT opted_out_at IS NOT NULL FROM campaign.contacts WHERE id = $1`, w.contacts[i].id).Scan(&w.contacts[i].optedOut))
	}
}

// webhook reports statuses of what was taken, in any order and any number of
// times, among events that mean nothing to us.
func (w *model) webhook(t *rapid.T) {
	var events []campaign.Event
	channel := w.channel
	if oneIn(t, 8, "other channel") {
		channel = w.other // somebody else's number, with ids of ours
	}
	for range rapid.IntRange(1, 3).Draw(t, "events") {
		m := w.messages[rapid.IntRange(0, len(w.messages)-1).Draw(t, "message")]
		attempts := make([]int, 0, len(m.taken))
		for attempt := range m.taken {
			attempts = append(attempts, attempt)
		}
		slices.Sort(attempts)
		e := campaign.Event{Kind: campaign.EventStatus, Messages: true, At: time.Now(),
			Status: rapid.SampledFrom([]string{"sent", "delivered", "read", "played", "failed", "failed", "warning"}).Draw(t, "status")}
		if e.Status == "failed" {
			f := rapid.SampledFrom(failures).Draw(t, "failure")
			e.Failure, e.Code = &f, 1
		}
		noise := rapid.IntRange(0, 12).Draw(t, "noise")
		switch {
		case noise == 12:
			e.Opaque = w.store.Opaque(1<<62, 1)
		case noise == 11:
			e.Opaque = "elsewhere/1/1"
		case noise == 10:
			e.ID = "wamid.nobody"
		case len(attempts) > 0:
			attempt := attempts[rapid.IntRange(0, len(attempts)-1).Draw(t, "attempt")]
			e.ID, e.Opaque = providerID(m.id, attempt), w.store.Opaque(m.id, attempt)
			if oneIn(t, 4, "without opaque id") {
				e.Opaque = ""
			}
			if e.Status == "failed" && channel == w.channel {
				m.reported[attempt] = true
			}
		default:
			continue
		}
		events = append(events, e)
	}
	if len(events) == 0 {
		return
	}
	applied, err := w.store.ApplyDeliveries(ctx(), channel, []campaign.Parsed{{Events: events}})
	must(t, err)
	if applied.Lost > 0 {
		t.Fatal("a lost commit was seen where none was lost")
	}
	w.changed = true
	w.syncOptOuts(t)
}

func (w *model) matchAgain(t *rapid.T) {
	_, err := w.store.RetryUnmatched(ctx(), func(int) campaign.Failure { return failures[0] })
	must(t, err)
	w.changed = true
}

// crash ends the process: what its workers knew is gone.
func (w *model) crash(*rapid.T) { w.workers = nil }

// repair runs a minute later: no claim of before is still good.
func (w *model) repair(t *rapid.T) {
	if rapid.Bool().Draw(t, "a minute later") {
		w.minutePasses(t)
		for _, k := range w.workers {
			k.expired = k.expired || k.committed
		}
	}
	_, err := w.store.Repair(ctx(), rapid.Bool().Draw(t, "full"))
	must(t, err)
	w.changed = true
}

func (w *model) minutePasses(t *rapid.T) {
	w.exec(t, `UPDATE campaign.messages SET claimed_at = claimed_at - interval '2 minutes' WHERE state = 'sending'`)
	w.exec(t, `UPDATE campaign.claims SET claimed_at = claimed_at - interval '2 minutes'`)
}

func (w *model) loseJobs(t *rapid.T) {
	w.exec(t, `DELETE FROM river.river_job WHERE id % 2 = $1`, rapid.IntRange(0, 1).Draw(t, "half"))
}

func (w *model) timePasses(t *rapid.T) {
	w.exec(t, `UPDATE campaign.messages SET due_at = now() WHERE due_at > now()`)
	w.exec(t, `UPDATE campaign.contacts SET rest_until = now() WHERE rest_until > now()`)
	w.exec(t, `UPDATE campaign.campaigns SET credit_at = credit_at - interval '1 hour'`)
}

// refused tells a refusal that is right from an error: a campaign that is over.
func refused(err error) bool { return errors.Is(err, campaign.ErrState) }

func (w *model) pause(t *rapid.T) {
	c := w.pickCampaign(t)
	err := w.store.Pause(ctx(), c.id, "lunch")
	if refused(err) {
		return
	}
	must(t, err)
	c.paused, w.changed = true, true
}

func (w *model) resume(t *rapid.T) {
	c := w.pickCampaign(t)
	_, err := w.store.Resume(ctx(), c.id)
	if refused(err) {
		return
	}
	must(t, err)
	c.paused, w.changed = false, true
}

func (w *model) cancel(t *rapid.T) {
	c := w.pickCampaign(t)
	err := w.store.Cancel(ctx(), c.id)
	if refused(err) {
		return
	}
	must(t, err)
	c.cancelled, w.changed = true, true
}

func (w *model) deadline(t *rapid.T) {
	c := w.pickCampaign(t)
	w.exec(t, `UPDATE campaign.campaigns SET not_after = clock_timestamp() WHERE id = $1`, c.id)
	c.expired = true
}

func (w *model) sweep(t *rapid.T) {
	_, err := w.store.Sweep(ctx(), w.pickCampaign(t).id)
	must(t, err)
	w.changed = true
}

func (w *model) holdChannel(t *rapid.T) {
	must(t, w.store.PauseChannel(ctx(), w.channel, "lunch"))
	w.held, w.changed = true, true
}

// liftHolds lifts what people and failures put on the channel and its template.
func (w *model) liftHolds(t *rapid.T) {
	_, err := w.store.ResumeChannel(ctx(), w.channel)
	must(t, err)
	_, err = w.store.LiftHold(ctx(), campaign.HoldTemplate, int64(w.template), campaign.SourceCode)
	must(t, err)
	w.held, w.changed = false, true
}

func (w *model) optOut(t *rapid.T) {
	c := &w.contacts[rapid.IntRange(0, len(w.contacts)-1).Draw(t, "contact")]
	_, err := w.store.SetOptOut(ctx(), []campaign.ContactRow{{Phone: c.phone, MatchKey: c.phone}}, "test")
	must(t, err)
	c.optedOut, w.changed = true, true
}

// resolve decides about what is unknown, a grace later.
func (w *model) resolve(t *rapid.T) {
	w.exec(t, `UPDATE campaign.messages SET claimed_at = claimed_at - interval '1 hour' WHERE state = 'unknown'`)
	resend := rapid.Bool().Draw(t, "resend")
	c := w.pickCampaign(t)
	_, err := w.store.Resolve(ctx(), c.id, resend, nil)
	must(t, err)
	for _, m := range w.messages {
		must(t, w.pool.QueryRow(ctx(), `SELECT resends FROM campaign.messages WHERE id = $1`, m.id).Scan(&m.resends))
	}
}

// retry is a person's: whatever failed with a code is due again.
func (w *model) retry(t *rapid.T) {
	_, err := w.store.Retry(ctx(), w.pickCampaign(t).id, rapid.SampledFrom(failures).Draw(t, "failure").Code)
	must(t, err)
	w.changed, w.retried = true, true
}

func (w *model) complete(t *rapid.T) {
	_, err := w.store.Complete(ctx())
	must(t, err)
	w.changed = true
}

func (w *model) fold(t *rapid.T) {
	must(t, w.store.FoldCounts(ctx()))
	w.changed = true
}

// passing are findings that a daemon puts right by itself.
func passing(f campaign.Finding) bool {
	return f.Check == "no_job" || strings.Contains(f.Message, "in a cancelled campaign")
}

// check holds the rows against the model.
func (w *model) check(t *rapid.T) {
	if !w.changed {
		return
	}
	w.changed = false
	findings, err := w.store.Verify(ctx(), 0, nil)
	must(t, err)
	for _, f := range findings {
		if !passing(f) {
			t.Fatalf("verify: %+v", f)
		}
	}
	var lost int
	must(t, w.pool.QueryRow(ctx(), `SELECT count(*) FROM campaign.messages AS m WHERE state = 'sending' AND NOT EXISTS (SELECT FROM campaign.claims AS c WHERE m.id = ANY(c.messages))`).Scan(&lost))
	if lost > 0 {
		t.Fatalf("%d claims would be found by nobody", lost)
	}
	for _, m := range w.messages {
		var r row
		must(t, w.pool.QueryRow(ctx(), `SELECT state, attempt, posted, posts, proof, COALESCE(claim_id::text, '') FROM campaign.messages WHERE id = $1`, m.id).
			Scan(&r.state, &r.attempt, &r.posted, &r.posts, &r.proof, &r.claim))
		was := m.last
		m.last = r
		seen := 0
		for _, n := range m.posts {
			seen += n
		}
		switch {
		case r.posts < seen || r.posts > m.claims:
			t.Fatalf("message %d: %d POSTs counted, %d made, %d claimed", m.id, r.posts, seen, m.claims)
		case seen > 0 && (r.state == campaign.Pending || r.state == campaign.Skipped || r.state == campaign.MessageCancelled):
			t.Fatalf("message %d is %s and was posted", m.id, r.state)
		case r.posted == was.posted && r.claim == was.claim && r.proof < was.proof:
			t.Fatalf("message %d: proof fell from %d to %d", m.id, was.proof, r.proof)
		case r.attempt < was.attempt:
			t.Fatalf("message %d: attempt fell from %d to %d", m.id, was.attempt, r.attempt)
		}
		if !mayFollow(was.state, r.state, w.retried) {
			t.Fatalf("message %d went from %s to %s", m.id, was.state, r.state)
		}
	}
	w.retried = false
}

// mayFollow knows the states that are final (design §3).
func mayFollow(was, is campaign.MessageState, retried bool) bool {
	switch was {
	case is:
		return true
	case campaign.Skipped, campaign.MessageCancelled, campaign.Read:
		return false
	case campaign.Delivered:
		return is == campaign.Read
	case campaign.Failed:
		return is == campaign.Delivered || is == campaign.Read || retried && is == campaign.Deferred
	}
	return true
}

// settle lets everything come to its end: nothing stops any more, every answer
// is written, and the daemon's chores are done. Then both campaigns are over and
// nothing at all is found.
func (w *model) settle(t *rapid.T) {
	w.held = false
	_, err := w.store.ResumeChannel(ctx(), w.channel)
	must(t, err)
	for i := range w.campaigns {
		if _, err := w.store.Resume(ctx(), w.campaigns[i].id); err != nil && !refused(err) {
			t.Fatal(err)
		}
		w.campaigns[i].paused = false
	}
	for range 12 {
		w.crash(t)
		w.exec(t, `DELETE FROM campaign.holds`)
		w.minutePasses(t)
		_, err = w.store.Repair(ctx(), true)
		must(t, err)

		for i := range w.campaigns {
			for n := 1; n > 0; {
				n, err = w.store.Sweep(ctx(), w.campaigns[i].id)
				must(t, err)
			}
		}
		w.timePasses(t)
		_, err = w.store.FanOut(ctx(), w.channel, 100, 100)
		must(t, err)
		for none := false; !none; {
			w.claims++
			want := campaign.Want{Channel: w.channel}
			binary.BigEndian.PutUint64(want.Claim[8:], w.claims)
			results, err := w.store.Take(ctx(), []campaign.Want{want})
			must(t, err)
			none = results[0].Message == 0
			if !results[0].OK {
				continue
			}
			k := &worker{turn: results[0].Turn}
			w.byID[k.turn.Message].claims++
			w.postOne(t, k, campaign.AnswerAccepted)
			must(t, w.store.Record(ctx(), []campaign.Outcome{{Turn: k.turn, Answer: k.answer}}))
		}
		w.check(t)
	}
	_, err = w.store.Complete(ctx())
	must(t, err)
	must(t, w.store.FoldCounts(ctx()))
	findings, err := w.store.Verify(ctx(), 0, nil)
	must(t, err)
	if len(findings) > 0 {
		t.Fatalf("at the end: %+v", findings)
	}
	var open int
	must(t, w.pool.QueryRow(ctx(), `SELECT count(*) FROM campaign.campaigns WHERE state NOT IN ('completed', 'cancelled')`).Scan(&open))
	if open > 0 {
		t.Fatalf("%d campaigns are not over", open)
	}
}

func (w *model) jobs(t *rapid.T) []worker {
	rows, err := w.pool.Query(ctx(), `SELECT id, (args->>'message')::bigint, (args->>'attempt')::int, (args->>'campaign')::bigint FROM river.river_job WHERE kind = 'send' ORDER BY id`)
	must(t, err)
	jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (worker, error) {
		k := worker{turn: campaign.Turn{Channel: w.channel}}
		return k, row.Scan(&k.job, &k.turn.Message, &k.turn.Attempt, &k.turn.Campaign)
	})
	must(t, err)
	return jobs
}

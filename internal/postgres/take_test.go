package postgres_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

const (
	high   = 1
	normal = 2
	low    = 3
)

// source is a campaign on a channel, from which messages are queued.
type source struct {
	channel  campaign.ChannelID
	template campaign.TemplateID
	campaign campaign.ID
}

// newEmpty is a fixture whose campaign has no message yet.
func newEmpty(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t, 1)
	f.exec(t, `DELETE FROM campaign.messages`)
	f.exec(t, `DELETE FROM campaign.message_count_deltas`)
	f.n = 0
	return f
}

func (f *fixture) source() source { return source{f.channel, f.template, f.campaign} }

// moreChannels adds a channel with a running campaign.
func (f *fixture) moreChannels(t *testing.T, name string) source {
	t.Helper()
	var s source
	err := f.pool.QueryRow(t.Context(), `INSERT INTO campaign.channels (name, phone, base_url, key_ref, webhook_secret_ref, account_id)
		SELECT $1, '+493' || nextval('campaign.channels_id_seq'), base_url, key_ref, webhook_secret_ref, account_id FROM campaign.channels WHERE id = $2
		RETURNING id`, name, f.channel).Scan(&s.channel)
	if err != nil {
		t.Fatal(err)
	}
	err = f.pool.QueryRow(t.Context(), `INSERT INTO campaign.templates (channel_id, name, language, status, category, format, sendable, slots, parts, components)
		SELECT $1, name, language, status, category, format, sendable, slots, parts, components FROM campaign.templates WHERE id = $2
		RETURNING id`, s.channel, f.template).Scan(&s.template)
	if err != nil {
		t.Fatal(err)
	}
	return f.moreCampaigns(t, s)
}

// moreCampaigns adds a running campaign to the channel of s.
func (f *fixture) moreCampaigns(t *testing.T, s source) source {
	t.Helper()
	err := f.pool.QueryRow(t.Context(), `INSERT INTO campaign.campaigns (name, channel_id, state, spec, spec_hash)
		SELECT 'x' || count(*), $1, 'running', '{"template":{"name":"t"}}', '' FROM campaign.campaigns RETURNING id`, s.channel).Scan(&s.campaign)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// queueOne adds a message to a new person that waits in the queue with its job.
func (f *fixture) queueOne(t *testing.T, s source, priority int) campaign.MessageID {
	t.Helper()
	var id campaign.MessageID
	err := f.pool.QueryRow(t.Context(), `WITH c AS (
			INSERT INTO campaign.contacts (opt_in, phone, match_key, nanp)
			SELECT true, p, p, '' FROM (SELECT '+491511' || (1000000 + count(*)) FROM campaign.contacts) AS n(p) RETURNING id, phone)
		INSERT INTO campaign.messages (campaign_id, channel_id, template_id, contact_id, phone, state, attempt, priority)
		SELECT $1, $2, $3, id, phone, 'queued', 1, $4 FROM c RETURNING id`, s.campaign, s.channel, s.template, priority).Scan(&id)
	if err != nil {
		t.Fatal(err)
	}
	f.exec(t, `INSERT INTO campaign.message_count_deltas VALUES ($1, $2, 'queued', '', 1)`, s.campaign, s.channel)
	f.addJob(t, s, id, 1, priority)
	return id
}

func (f *fixture) addJob(t *testing.T, s source, id campaign.MessageID, attempt, priority int) {
	t.Helper()
	queue := fmt.Sprintf("ch_%d", s.channel)
	if priority == high {
		queue += "_high"
	}
	f.exec(t, `INSERT INTO river.river_job (kind, queue, args, max_attempts, priority)
		VALUES ('send', $1, jsonb_build_object('message', $2::bigint, 'attempt', $3::int, 'campaign', $4::bigint), 100, $5)`,
		queue, id, attempt, s.campaign, priority)
}

// jobs gives the messages of the jobs that are left.
func (f *fixture) jobs(t *testing.T) []campaign.MessageID {
	t.Helper()
	rows, err := f.pool.Query(t.Context(), `SELECT (args->>'message')::bigint FROM river.river_job WHERE kind = 'send' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	ids := []campaign.MessageID{}
	for rows.Next() {
		var id campaign.MessageID
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func wantsOf(channels ...campaign.ChannelID) []campaign.Want {
	wants := make([]campaign.Want, len(channels))
	for i, id := range channels {
		wants[i].Channel = id
		rand.Read(wants[i].Claim[:])
	}
	return wants
}

func wantsMany(id campaign.ChannelID, n int) []campaign.Want {
	return wantsOf(slices.Repeat([]campaign.ChannelID{id}, n)...)
}

// mustTake takes and returns the messages that were claimed, in the order of the
// wants, and 0 for a want that was given none.
func mustTake(t *testing.T, s *postgres.Store, wants []campaign.Want) []campaign.MessageID {
	t.Helper()
	taken, err := s.Take(t.Context(), wants)
	if err != nil {
		t.Fatal(err)
	}
	return claimedOf(t, wants, taken)
}

func claimedOf(t *testing.T, wants []campaign.Want, taken []campaign.Taken) []campaign.MessageID {
	t.Helper()
	if len(taken) != len(wants) {
		t.Fatalf("%d answers to %d wants", len(taken), len(wants))
	}
	ids := make([]campaign.MessageID, len(taken))
	for i, k := range taken {
		switch {
		case k.Message == 0 && !k.OK && !k.Again && k.Err == nil:
		case !k.OK || k.Err != nil || k.Channel != wants[i].Channel || k.Claim != wants[i].Claim || k.Phone == "" || k.Template == 0:
			t.Errorf("want %d: %+v", i, k)
		default:
			ids[i] = k.Message
		}
	}
	return ids
}

func wantIDs(t *testing.T, what string, got []campaign.MessageID, want ...campaign.MessageID) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got messages %d, want %d", what, got, want)
	}
}

func TestStoreTakeGivesHighThenNormalThenLow(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	a := f.source()
	b := f.moreChannels(t, "b")
	idle := f.moreChannels(t, "idle").channel
	// What matters least came first, and in every class two campaigns take turns.
	queued := map[campaign.ChannelID]map[int][]campaign.MessageID{}
	for _, s := range []source{a, b} {
		other := f.moreCampaigns(t, s)
		queued[s.channel] = map[int][]campaign.MessageID{}
		for _, priority := range []int{low, normal, high} {
			for _, from := range []source{s, other} {
				queued[s.channel][priority] = append(queued[s.channel][priority], f.queueOne(t, from, priority))
			}
		}
	}
	qa, qb := queued[a.channel], queued[b.channel]
	ca, cb := a.channel, b.channel

	got := mustTake(t, f.Store, wantsOf(ca, cb, ca, idle, ca, cb, ca, cb, ca))
	wantIDs(t, "the first", got, qa[high][0], qb[high][0], qa[high][1], 0, qa[normal][0], qb[high][1], qa[normal][1], qb[normal][0], qa[low][0])
	wantIDs(t, "jobs after the first", f.jobs(t), qa[low][1], qb[low][0], qb[low][1], qb[normal][1])

	// One that comes now is before all that wait.
	late := f.queueOne(t, b, high)
	got = mustTake(t, f.Store, wantsOf(cb))
	wantIDs(t, "a late one of high priority", got, late)

	// More wants than jobs: the last of each channel's are left empty.
	got = mustTake(t, f.Store, wantsOf(ca, ca, ca, cb, cb, cb, cb, cb, idle))
	wantIDs(t, "the last", got, qa[low][1], 0, 0, qb[normal][1], qb[low][0], qb[low][1], 0, 0, 0)
	wantIDs(t, "jobs after the last", f.jobs(t))
	got = mustTake(t, f.Store, wantsOf(ca, cb))
	wantIDs(t, "nothing is left", got, 0, 0)
	if got := f.counts(t); got["sending"] != 13 || len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// More of high priority than was asked for: what is behind it stays where it is.
func TestStoreTakeLeavesWhatItHasNoWantFor(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	second := f.queueOne(t, f.source(), normal)
	var first []campaign.MessageID
	for range 3 {
		first = append(first, f.queueOne(t, f.source(), high))
	}
	wantIDs(t, "two wants", mustTake(t, f.Store, wantsMany(f.channel, 2)), first[0], first[1])
	wantIDs(t, "jobs", f.jobs(t), second, first[2])
	wantIDs(t, "two more", mustTake(t, f.Store, wantsMany(f.channel, 2)), first[2], second)
}

// A job that is not due, not available or not ours is not taken.
func TestStoreTakeKnowsWhichJobsAreItsOwn(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	later, running, foreign, due := f.queueOne(t, f.source(), normal), f.queueOne(t, f.source(), normal), f.queueOne(t, f.source(), normal), f.queueOne(t, f.source(), low)
	change := func(id campaign.MessageID, set string) {
		t.Helper()
		f.exec(t, `UPDATE river.river_job SET `+set+` WHERE args->>'message' = $1`, fmt.Sprint(id))
	}
	change(later, `scheduled_at = now() + interval '1 hour'`)
	change(running, `state = 'running'`)
	change(foreign, `kind = 'enqueue'`)
	wantIDs(t, "four wants", mustTake(t, f.Store, wantsMany(f.channel, 4)), due, 0, 0, 0)
	if got := f.counts(t); got["queued"] != 3 || got["sending"] != 1 {
		t.Errorf("got %v", got)
	}
}

func TestStoreTakeConsumesTheJobOfAMessageThatIsGone(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	var gone campaign.MessageID = 123_456
	f.addJob(t, f.source(), gone, 1, normal)
	id := f.queueOne(t, f.source(), normal)
	taken, err := f.Take(t.Context(), wantsMany(f.channel, 3))
	if err != nil {
		t.Fatal(err)
	}
	if k := taken[0]; k.Message != gone || k.OK || k.Again || k.Err != nil {
		t.Errorf("of the one that is gone: %+v", k)
	}
	if k := taken[1]; k.Message != id || !k.OK {
		t.Errorf("of the other: %+v", k)
	}
	if taken[2].Message != 0 {
		t.Errorf("of nothing: %+v", taken[2])
	}
	wantIDs(t, "jobs", f.jobs(t))
}

// Pause and resume may leave the job of an attempt that is over beside the new
// one: together they are one turn, and alone the old one is none.
func TestStoreTakeGivesAMessageThatIsQueuedTwiceOneTurn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		attempts   []int // of the jobs, in their order
		priorities []int
	}{
		"TheOldJobFirst": {[]int{1, 2}, []int{normal, normal}},
		"TheNewJobFirst": {[]int{2, 1}, []int{normal, normal}},
		"InBothQueues":   {[]int{1, 2}, []int{high, normal}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := func(t *testing.T) (*fixture, campaign.MessageID, campaign.MessageID) {
				f := newEmpty(t)
				id := f.queueOne(t, f.source(), normal)
				f.exec(t, `DELETE FROM river.river_job`)
				f.exec(t, `UPDATE campaign.messages SET attempt = 2 WHERE id = $1`, id)
				for i, attempt := range test.attempts {
					f.addJob(t, f.source(), id, attempt, test.priorities[i])
				}
				return f, id, f.queueOne(t, f.source(), low)
			}
			t.Run("Together", func(t *testing.T) {
				t.Parallel()
				f, id, next := set(t)
				wants := wantsMany(f.channel, 4)
				taken, err := f.Take(t.Context(), wants)
				if err != nil {
					t.Fatal(err)
				}
				wantIDs(t, "taken", claimedOf(t, wants, taken), id, next, 0, 0)
				if taken[0].Attempt != 2 {
					t.Errorf("attempt %d had its turn", taken[0].Attempt)
				}
				wantIDs(t, "jobs", f.jobs(t))
			})
			t.Run("OneAtATime", func(t *testing.T) {
				t.Parallel()
				f, id, next := set(t)
				claims := map[campaign.MessageID]int{}
				for range 3 {
					taken, err := f.Take(t.Context(), wantsMany(f.channel, 1))
					if err != nil || taken[0].Err != nil {
						t.Fatal(err, taken[0].Err)
					}
					if taken[0].OK {
						claims[taken[0].Message]++
					}
				}
				if claims[id] != 1 || claims[next] != 1 {
					t.Errorf("claims %v, want one of each of %d and %d", claims, id, next)
				}
				wantIDs(t, "jobs", f.jobs(t))
			})
		})
	}
}

// What is queued of a campaign that was paused goes back to pending, without its
// job, when its turn comes, and those of others go on.
func TestStoreTakeOfAPausedCampaignGivesItsMessagesBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	ctx := t.Context()
	f.fanOut(t)
	if err := f.Pause(ctx, f.campaign, "lunch"); err != nil {
		t.Fatal(err)
	}
	other := f.queueOne(t, f.moreCampaigns(t, f.source()), normal)
	taken, err := f.Take(ctx, wantsMany(f.channel, 4))
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range taken {
		if k.Message == 0 || k.Again || k.Err != nil || k.OK != (k.Message == other) {
			t.Errorf("want %d: %+v", i, k)
		}
	}
	wantIDs(t, "jobs", f.jobs(t))
	if got := f.counts(t); got["pending"] != 3 || got["sending"] != 1 {
		t.Errorf("got %v", got)
	}
	if _, err := f.Resume(ctx, f.campaign); err != nil {
		t.Fatal(err)
	}
	f.fanOut(t)
	got := mustTake(t, f.Store, wantsMany(f.channel, 4))
	wantIDs(t, "after the resumption", got, f.first, f.first+1, f.first+2, 0)
}

// Of two messages to one person only one is claimed in a batch; the other keeps
// its job.
func TestStoreTakeClaimsOneMessageToAPersonAtATime(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	first, second := f.queueOne(t, f.source(), normal), f.queueOne(t, f.moreCampaigns(t, f.source()), normal)
	f.exec(t, `UPDATE campaign.messages SET contact_id = (SELECT contact_id FROM campaign.messages WHERE id = $1) WHERE id = $2`, first, second)
	taken, err := f.Take(t.Context(), wantsMany(f.channel, 2))
	if err != nil {
		t.Fatal(err)
	}
	if taken[0].Message != first || !taken[0].OK || taken[1].Message != second || taken[1].OK || !taken[1].Again {
		t.Errorf("got %+v", taken)
	}
	wantIDs(t, "jobs", f.jobs(t), second)
	wantIDs(t, "afterwards", mustTake(t, f.Store, wantsMany(f.channel, 2)), second, 0)
}

// A message that the database refuses costs only itself, and its job stays.
func TestStoreTakeTellsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 4)
	f.fanOut(t)
	bad := f.first + 1
	f.exec(t, fmt.Sprintf(`ALTER TABLE campaign.messages ADD CONSTRAINT no_claim CHECK (NOT (id = %d AND state = 'sending'))`, bad))
	taken, err := f.Take(t.Context(), wantsMany(f.channel, 4))
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range taken {
		if k.OK != (k.Message != bad) || (k.Err != nil) != (k.Message == bad) {
			t.Errorf("want %d: %+v", i, k)
		}
	}
	wantIDs(t, "jobs", f.jobs(t), bad)
	if got := f.counts(t); got["sending"] != 3 || got["queued"] != 1 {
		t.Errorf("got %v", got)
	}
}

// At the head of its queue a message that the database refuses keeps nobody behind
// it waiting, also where workers ask for one at a time.
func TestStoreTakePutsOffWhatIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	f.fanOut(t)
	bad := f.first
	f.exec(t, fmt.Sprintf(`ALTER TABLE campaign.messages ADD CONSTRAINT no_claim CHECK (NOT (id = %d AND state = 'sending'))`, bad))
	for _, want := range []campaign.MessageID{bad, bad + 1, bad + 2, 0} {
		taken, err := f.Take(t.Context(), wantsMany(f.channel, 1))
		if err != nil {
			t.Fatal(err)
		}
		if k := taken[0]; k.Message != want || (k.Err != nil) != (want == bad) || k.OK != (want != bad && want != 0) {
			t.Fatalf("want message %d, got %+v", want, k)
		}
	}
	f.exec(t, `ALTER TABLE campaign.messages DROP CONSTRAINT no_claim`)
	f.exec(t, `UPDATE river.river_job SET scheduled_at = now()`)
	wantIDs(t, "a minute later", mustTake(t, f.Store, wantsMany(f.channel, 1)), bad)
}

// Who asks for high priority only gets nothing else, and who asks for anything gets
// high priority first.
func TestStoreTakeOfHighPriorityOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 4)
	f.fanOut(t)
	f.exec(t, fmt.Sprintf(`UPDATE river.river_job SET queue = queue || '_high' WHERE (args->>'message')::bigint IN (%d, %d)`, f.first+1, f.first+3))
	wants := wantsMany(f.channel, 3)
	wants[0].High, wants[2].High = true, true
	wantIDs(t, "together", mustTake(t, f.Store, wants), f.first+1, f.first, f.first+3)
	wantIDs(t, "high only", mustTake(t, f.Store, wants[2:]), 0)
	wantIDs(t, "the rest", mustTake(t, f.Store, wantsMany(f.channel, 3)), f.first+2, 0, 0)
}

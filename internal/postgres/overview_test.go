package postgres_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

func (f *fixture) overview(t *testing.T) campaign.Overview {
	t.Helper()
	o, err := f.Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Channels) != 1 || o.Channels[0].Name != "c" {
		t.Fatalf("%+v", o.Channels)
	}
	return o
}

func messagesOf(o campaign.Overview) map[campaign.MessageState]int64 {
	n := map[campaign.MessageState]int64{}
	for _, m := range o.Messages {
		if m.Channel == "c" {
			n[m.State] += m.N
		}
	}
	return n
}

func TestOverviewTellsTheInstallationInNumbers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 5)
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := f.pool.Exec(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`UPDATE campaign.messages SET due_at = now() - interval '10 minutes' WHERE id = $1`, f.first)
	// A draft's messages are nobody's business, and it is no backlog.
	exec(`INSERT INTO campaign.campaigns (name, channel_id, state, spec, spec_hash) VALUES ('draft', $1, 'draft', '{}', '')`, f.channel)
	exec(`INSERT INTO campaign.message_count_deltas SELECT id, channel_id, 'pending', '', 1000 FROM campaign.campaigns WHERE name = 'draft'`)

	o := f.overview(t)
	if n := messagesOf(o); n[campaign.Pending] != 5 || len(n) != 1 {
		t.Errorf("messages %v", n)
	}
	if o.Campaigns[campaign.Running] != 1 || o.Campaigns[campaign.Draft] != 1 || o.Campaigns[campaign.Paused] != 0 {
		t.Errorf("campaigns %v", o.Campaigns)
	}
	if due := o.Channels[0].OldestDue; due < 10*time.Minute || due > 11*time.Minute {
		t.Errorf("the oldest due message has waited for %v", due)
	}
	if o.Channels[0].Held || len(o.Holds) != 0 || o.Channels[0].Leases != 0 {
		t.Errorf("%+v, %+v", o.Channels, o.Holds)
	}

	f.fanOut(t)
	o = f.overview(t)
	if n := messagesOf(o); n[campaign.Queued] != 5 || n[campaign.Pending] != 0 {
		t.Errorf("messages %v", n)
	}
	if c := o.Channels[0]; c.Jobs["available"] != 5 || c.OldestDue != 0 {
		t.Errorf("%+v", c)
	}
	exec(`UPDATE river.river_job SET state = 'completed', finalized_at = now() WHERE id = (SELECT min(id) FROM river.river_job)`)
	if jobs := f.overview(t).Channels[0].Jobs; jobs["available"] != 4 || len(jobs) != 1 {
		t.Errorf("jobs %v: finished ones do not count", jobs)
	}
}

// A hold explains why nothing goes: what it stops is no backlog, and an alarm over
// the backlog must not ring for it.
func TestOverviewLeavesWhatIsHeldOutOfTheBacklog(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2)
	past := time.Now().Add(-time.Second)
	var account int64
	if err := f.pool.QueryRow(t.Context(), `SELECT account_id FROM campaign.channels WHERE id = $1`, f.channel).Scan(&account); err != nil {
		t.Fatal(err)
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE campaign.messages SET due_at = now() - interval '1 hour';
		UPDATE campaign.campaigns SET template_ids = ARRAY(SELECT id FROM campaign.templates)`); err != nil {
		t.Fatal(err)
	}
	// And two of no campaign, of which the template is held below.
	if _, err := f.pool.Exec(t.Context(), `INSERT INTO campaign.messages (channel_id, template_id, phone, state, due_at)
		SELECT $1, $2, '+4930000001', 'pending', now() - interval '1 hour' FROM generate_series(1, 2)`, f.channel, f.template); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		hold    campaign.Hold
		backlog bool // messages of no campaign go on
		held    bool
		state   campaign.State
	}{
		{"Channel", campaign.Hold{Scope: campaign.HoldChannel, ScopeID: int64(f.channel)}, false, true, campaign.Paused},
		{"Account", campaign.Hold{Scope: campaign.HoldAccount, ScopeID: account}, false, true, campaign.Paused},
		{"Template", campaign.Hold{Scope: campaign.HoldTemplate, ScopeID: int64(f.template)}, false, false, campaign.Paused},
		{"Campaign", campaign.Hold{Scope: campaign.HoldCampaign, ScopeID: int64(f.campaign)}, true, false, campaign.Paused},
		{"Over", campaign.Hold{Scope: campaign.HoldChannel, ScopeID: int64(f.channel), Until: &past}, true, false, campaign.Running},
	} {
		c.hold.Source, c.hold.Reason = "test", c.name
		if err := f.PutHold(t.Context(), c.hold); err != nil {
			t.Fatal(err)
		}
		o := f.overview(t)
		if backlog := o.Channels[0].OldestDue > 59*time.Minute; backlog != c.backlog {
			t.Errorf("%s: the oldest due message has waited for %v", c.name, o.Channels[0].OldestDue)
		}
		if o.Channels[0].Held != c.held || o.Campaigns[c.state] != 1 {
			t.Errorf("%s: %+v, %v", c.name, o.Channels[0], o.Campaigns)
		}
		stands := slices.Contains(o.Holds, campaign.OverviewHolds{Scope: c.hold.Scope, Source: "test", N: 1})
		if stands != (c.name != "Over") {
			t.Errorf("%s: %+v", c.name, o.Holds)
		}
		if _, err := f.LiftHold(t.Context(), c.hold.Scope, c.hold.ScopeID, "test"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOverviewTellsTheInboxAndTheLeases(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	if _, err := f.pool.Exec(t.Context(), `
		INSERT INTO campaign.webhooks (channel_id, received_at, applied_at, body) VALUES
		       ($1, now() - interval '1 hour', now(), '{}'), ($1, now() - interval '20 seconds', NULL, '{}'), ($1, now(), NULL, '{}')`, f.channel); err != nil {
		t.Fatal(err)
	}
	if _, err := f.pool.Exec(t.Context(), `
		INSERT INTO campaign.channel_shares (channel_id, node, share, counted, weight, expires_at) VALUES
		       ($1, 'a', 30, 40, 1, now() + interval '6 seconds'), ($1, 'b', 40, 40, 1, now() + interval '6 seconds'), ($1, 'dead', 40, 40, 1, now() - interval '1 second')`, f.channel); err != nil {
		t.Fatal(err)
	}
	if _, err := f.pool.Exec(t.Context(), `INSERT INTO campaign.unmatched_statuses (channel_id, provider_id, status) VALUES ($1, 'x', 'sent')`, f.channel); err != nil {
		t.Fatal(err)
	}
	if _, err := f.pool.Exec(t.Context(), `INSERT INTO campaign.nodes (name, host, pid, version, roles, listen, seen_at) VALUES
		('a', 'h', 1, 'v', '{send}', 'x', now()), ('b', 'h', 2, 'v', '{send}', 'y', now() - interval '1 minute')`); err != nil {
		t.Fatal(err)
	}
	o := f.overview(t)
	if o.Nodes[campaign.NodeRunning] != 1 || o.Nodes[campaign.NodeIsLost] != 1 {
		t.Errorf("nodes %v", o.Nodes)
	}
	if o.Unapplied != 2 || o.OldestUnapplied < 20*time.Second || o.OldestUnapplied > time.Minute || o.Unmatched != 1 {
		t.Errorf("%d webhooks wait, the oldest for %v; %d statuses", o.Unapplied, o.OldestUnapplied, o.Unmatched)
	}
	if c := o.Channels[0]; c.Leased != 80 || c.Leases != 2 || c.Limit != 0 || c.Allowed != 0 {
		t.Errorf("%+v", c)
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE campaign.channels SET rate = 80;
		INSERT INTO campaign.channel_slowdowns (channel_id, rate, refused, cut_at, quiet_at)
		SELECT id, 40, 80, now() - interval '25 seconds', now() - interval '25 seconds' FROM campaign.channels`); err != nil {
		t.Fatal(err)
	}
	// Twice 10 s passed since the cut: 40 × 1.1 × 1.1.
	if c := f.overview(t).Channels[0]; c.Limit != 80 || math.Abs(c.Allowed-48.4) > 1e-9 {
		t.Errorf("%+v", c)
	}
}

func TestPoolStatsCountConnections(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	conn, err := f.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	p := f.PoolStats()
	if p.Max != f.pool.Config().MaxConns || p.Acquired != 1 || p.Opened < 1 || p.Acquires < 1 {
		t.Errorf("%+v", p)
	}
}

package postgres_test

import (
	"slices"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

func TestStoreNodesAreSeenLostAndForgotten(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	ctx := t.Context()
	f.exec(t, `UPDATE campaign.channels SET rate = 80`)
	beat := func(name string, up time.Duration) {
		t.Helper()
		n := campaign.Node{Name: name, Host: "h", PID: 7, Version: "v1", Roles: []string{"send", "webhook"}, Listen: "127.0.0.1:8080",
			Channels: []campaign.ChannelID{f.channel}}
		if err := f.BeatNode(ctx, n, up); err != nil {
			t.Fatal(err)
		}
	}
	list := func() []campaign.NodeStatus {
		t.Helper()
		nodes, err := f.Nodes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return nodes
	}
	names := func() (names []string) {
		for _, n := range list() {
			names = append(names, n.Name)
		}
		return names
	}
	if n := list(); len(n) != 0 {
		t.Fatalf("before the first: %+v", n)
	}
	beat("old", time.Hour)
	beat("new", time.Minute)
	if _, err := f.RenewShare(ctx, f.channel, "new", campaign.Demand{Weight: 1, Sent: 12.5}); err != nil {
		t.Fatal(err)
	}
	f.exec(t, `INSERT INTO river.river_leader (elected_at, expires_at, leader_id, name) VALUES (now(), now() + interval '1 minute', 'new', 'default')`)

	nodes := list()
	if len(nodes) != 2 || nodes[0].Name != "old" || nodes[1].Name != "new" {
		t.Fatalf("%+v", nodes)
	}
	if n := nodes[0]; n.State != campaign.NodeRunning || n.Leader || n.Rate != 0 || len(n.Channels) != 1 || n.Channels[0].Share != nil ||
		n.SeenAt.Sub(n.StartedAt).Round(time.Second) != time.Hour || !slices.Equal(n.Roles, []string{"send", "webhook"}) {
		t.Errorf("%+v", n)
	}
	if n := nodes[1]; !n.Leader || n.Rate != 12.5 || *n.Channels[0].Share != 80 || *n.Channels[0].Limit != 80 || n.Channels[0].Rate != 12.5 {
		t.Errorf("%+v", n)
	}

	f.exec(t, `UPDATE campaign.nodes SET seen_at = seen_at - interval '16 seconds' WHERE name = 'old'`)
	if n := list(); n[0].State != campaign.NodeIsLost || n[1].State != campaign.NodeRunning {
		t.Errorf("after 16 seconds of silence: %+v", n)
	}
	beat("old", time.Hour+16*time.Second) // it was only suspended
	if n := list(); n[0].State != campaign.NodeRunning {
		t.Errorf("back again: %+v", n[0])
	}
	f.exec(t, `UPDATE campaign.nodes SET seen_at = seen_at - interval '25 hours' WHERE name = 'old'`)
	beat("new", time.Minute)
	if n := names(); !slices.Equal(n, []string{"new"}) {
		t.Errorf("a day later: %v", n)
	}
	if err := f.DropNode(ctx, "new"); err != nil {
		t.Fatal(err)
	}
	if n := names(); len(n) != 0 {
		t.Errorf("after a clean stop: %v", n)
	}
}

// A channel without a limit has no share to show.
func TestStoreNodesWithoutALimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	f.exec(t, `UPDATE campaign.channels SET rate = 0`)
	if err := f.BeatNode(t.Context(), campaign.Node{Name: "a", Roles: []string{"send"}, Channels: []campaign.ChannelID{f.channel}}, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.RenewShare(t.Context(), f.channel, "a", campaign.Demand{Weight: 1, Sent: 900}); err != nil {
		t.Fatal(err)
	}
	nodes, err := f.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := nodes[0]; n.Rate != 900 || n.Channels[0].Limit != nil || n.Channels[0].Share != nil {
		t.Errorf("%+v", n)
	}
}

// Who may look at reports may look at nodes.
func TestStoreNodesAreListedByEveryReader(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	for _, group := range []string{"campaign_daemon", "campaign_operator", "campaign_viewer"} {
		s, err := postgres.Open(t.Context(), as(t, f.pool, group))
		if err != nil {
			t.Fatalf("%s: %v", group, err)
		}
		if _, err := s.Nodes(t.Context()); err != nil {
			t.Errorf("%s: %v", group, err)
		}
	}
}

package metrics_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/metrics"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/sender"
)

// sources are those of a node with a limited channel that was slowed down and one
// without a limit.
func sources() metrics.Sources {
	return metrics.Sources{
		Overview: func(context.Context) (campaign.Overview, error) {
			return campaign.Overview{
				Messages:  []campaign.OverviewMessages{{Channel: "sales", State: campaign.Queued, N: 12}, {Channel: "sales", State: campaign.Unknown, N: 3}},
				Campaigns: map[campaign.State]int64{campaign.Running: 2, campaign.Paused: 1},
				Holds:     []campaign.OverviewHolds{{Scope: campaign.HoldChannel, Source: campaign.SourcePerson, N: 1}},
				Channels: []campaign.OverviewChannel{{Name: "sales", Held: true, Jobs: map[string]int64{"available": 12},
					Limit: 80, Allowed: 40, Leased: 40, Leases: 2,
					OldestDue: 90 * time.Second}, {Name: "news"}},
				Nodes:     map[string]int64{campaign.NodeRunning: 2},
				Unapplied: 4, OldestUnapplied: 1500 * time.Millisecond, Unmatched: 5,
			}, nil
		},
		Pool: func() postgres.PoolStats {
			return postgres.PoolStats{Max: 20, Acquired: 3, Idle: 2, Opened: 7, Acquires: 100, Waits: 9, WaitedFor: 250 * time.Millisecond}
		},
		Flows: func() []sender.Flow {
			return []sender.Flow{
				{Channel: "sales", Limit: 80, Now: 15, Leased: true, Share: 20, Lease: 4 * time.Second, Busy: 6, Workers: 40},
				{Channel: "news", Workers: 500},
			}
		},
		Ready: func() bool { return true }, Version: "v1", Roles: []string{"send", "webhook"},
	}
}

func TestMetricsFollowTheConventions(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	m.Watch(sources())
	o := m.Channel(campaign.Channel{ID: 1, Name: "sales"})
	o.Stage(sender.StagePost, time.Second)
	m.Store(nil)
	problems, err := testutil.GatherAndLint(m.Registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if n, err := testutil.GatherAndCount(m.Registry()); err != nil || n < 100 {
		t.Errorf("%d time series, %v", n, err)
	}
}

func TestObserverCountsTurns(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	o := m.Channel(campaign.Channel{ID: 1, Name: "sales"})
	for _, a := range []campaign.Answer{
		{Kind: campaign.AnswerAccepted}, {Kind: campaign.AnswerAccepted}, {Kind: campaign.AnswerInDoubt},
		{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Class: campaign.SlowDown}},
		{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Class: "of next year"}},
	} {
		o.Answered(a)
	}
	// The channel was changed and taken up again: it goes on counting.
	o = m.Channel(campaign.Channel{ID: 1, Name: "sales"})
	o.Refused()
	err := testutil.GatherAndCompare(m.Registry(), strings.NewReader(`
# HELP campaignd_sends_total Claimed turns by what is known after the POST: accepted, held, failed, in_doubt (a POST was or may have been made and was not understood), unreachable or abandoned (nothing was written). class says what becomes of a failed one and is empty otherwise.
# TYPE campaignd_sends_total counter
campaignd_sends_total{answer="abandoned",channel="sales",class=""} 0
campaignd_sends_total{answer="accepted",channel="sales",class=""} 2
campaignd_sends_total{answer="failed",channel="sales",class="final"} 0
campaignd_sends_total{answer="failed",channel="sales",class="other"} 1
campaignd_sends_total{answer="failed",channel="sales",class="pause_account"} 0
campaignd_sends_total{answer="failed",channel="sales",class="pause_channel"} 0
campaignd_sends_total{answer="failed",channel="sales",class="pause_template"} 0
campaignd_sends_total{answer="failed",channel="sales",class="retry"} 0
campaignd_sends_total{answer="failed",channel="sales",class="slow_down"} 1
campaignd_sends_total{answer="held",channel="sales",class=""} 0
campaignd_sends_total{answer="in_doubt",channel="sales",class=""} 1
campaignd_sends_total{answer="unreachable",channel="sales",class=""} 0
# HELP campaignd_turns_total Turns of messages that ended on this node: claimed (a POST follows) or refused (by the claim: paused, cancelled, opted out).
# TYPE campaignd_turns_total counter
campaignd_turns_total{channel="sales",result="claimed"} 5
campaignd_turns_total{channel="sales",result="refused"} 1
`), "campaignd_sends_total", "campaignd_turns_total")
	if err != nil {
		t.Error(err)
	}
}

func TestStagesAreMeasuredInSeconds(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	o := m.Channel(campaign.Channel{ID: 1, Name: "sales"})
	for stage := range sender.Stage(sender.Stages) {
		o.Stage(stage, time.Duration(stage+1)*time.Second)
	}
	text := scrape(t, m)
	for _, line := range []string{
		`campaignd_send_stage_seconds_sum{channel="sales",stage="limiter"} 1`,
		`campaignd_send_stage_seconds_sum{channel="sales",stage="claim"} 2`,
		`campaignd_send_stage_seconds_sum{channel="sales",stage="pace"} 3`,
		`campaignd_send_stage_seconds_sum{channel="sales",stage="post"} 4`,
		`campaignd_send_stage_seconds_sum{channel="sales",stage="outcome"} 5`,
		`campaignd_send_stage_seconds_bucket{channel="sales",stage="post",le="2.5"} 0`,
		`campaignd_send_stage_seconds_bucket{channel="sales",stage="post",le="5"} 1`,
	} {
		has(t, text, line)
	}
}

func TestNodeTellsItsChannelsAndConnections(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	m.Watch(sources())
	text := scrape(t, m)
	for _, line := range []string{
		`campaignd_channel_limit_messages_per_second{channel="sales"} 80`,
		`campaignd_channel_share_messages_per_second{channel="sales"} 20`,
		`campaignd_channel_usable_messages_per_second{channel="sales"} 15`,
		`campaignd_channel_allowed_messages_per_second{channel="sales"} 40`,
		`campaignd_channel_share_lease_seconds{channel="sales"} 4`,
		`campaignd_channel_slowed{channel="sales"} 1`,
		`campaignd_channel_slowed{channel="news"} 0`,
		`campaignd_channel_turns{channel="sales"} 6`,
		`campaignd_channel_workers{channel="news"} 500`,
		`campaignd_pool_connections{state="acquired"} 3`,
		`campaignd_pool_acquire_wait_seconds_total 0.25`,
		`campaignd_build_info{version="v1"} 1`,
		`campaignd_node_role{role="webhook"} 1`,
		`campaignd_node_ready 1`,
		// The installation, zeros included: an alert needs something to compare.
		`campaignd_overview_up 1`,
		`campaignd_messages{channel="sales",state="queued"} 12`,
		`campaignd_messages{channel="sales",state="unknown"} 3`,
		`campaignd_messages{channel="sales",state="read"} 0`,
		`campaignd_campaigns{state="paused"} 1`,
		`campaignd_campaigns{state="draft"} 0`,
		`campaignd_holds{scope="channel",source="person"} 1`,
		`campaignd_channel_held{channel="sales"} 1`,
		`campaignd_channel_held{channel="news"} 0`,
		`campaignd_queue_jobs{channel="sales",state="available"} 12`,
		`campaignd_channel_leased_messages_per_second{channel="sales"} 40`,
		`campaignd_channel_leases{channel="sales"} 2`,
		`campaignd_oldest_due_seconds{channel="sales"} 90`,
		`campaignd_nodes{state="running"} 2`,
		`campaignd_nodes{state="lost"} 0`,
		`campaignd_webhooks_unapplied 4`,
		`campaignd_webhook_oldest_unapplied_seconds 1.5`,
		`campaignd_webhook_statuses_waiting 5`,
	} {
		has(t, text, line)
	}
	for _, absent := range []string{`campaignd_channel_share_messages_per_second{channel="news"}`, `campaignd_channel_usable_messages_per_second{channel="news"}`} {
		if strings.Contains(text, absent) {
			t.Errorf("nothing limits news, and yet there is %s", absent)
		}
	}
}

// A database that does not answer must not hide what the node knows by itself.
func TestScrapeWithoutADatabase(t *testing.T) {
	t.Parallel()
	s := sources()
	s.Overview = func(context.Context) (campaign.Overview, error) {
		return campaign.Overview{}, errors.New("no database")
	}
	m := metrics.New()
	m.Watch(s)
	text := scrape(t, m)
	has(t, text, `campaignd_overview_up 0`)
	has(t, text, `campaignd_channel_share_messages_per_second{channel="sales"} 20`)
	if strings.Contains(text, "campaignd_messages{") || strings.Contains(text, "campaignd_webhooks_unapplied ") {
		t.Error("figures are told that nobody knows")
	}
}

func TestScrapesShareAReadingOfTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var readings int
		s := sources()
		read := s.Overview
		s.Overview = func(ctx context.Context) (campaign.Overview, error) {
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("a scrape may wait for the database for ever")
			}
			readings++
			return read(ctx)
		}
		m := metrics.New()
		m.Watch(s)
		for range 4 {
			if _, err := m.Registry().Gather(); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		if readings != 1 {
			t.Errorf("%d readings in 4 s", readings)
		}
		time.Sleep(2 * time.Second)
		if _, err := m.Registry().Gather(); err != nil || readings != 2 {
			t.Errorf("%d readings after 6 s, %v", readings, err)
		}
	})
}

// Strangers may ask for any name: it must not become a label.
func TestWebhookRequestsAreCountedByChannelsOfOurs(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks/{channel}", m.Webhooks(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.PathValue("channel") {
		case "sales":
			_, _ = io.WriteString(w, "thanks")
		case "keyless":
			http.Error(w, "no secret", http.StatusServiceUnavailable)
		default:
			http.Error(w, "no such channel", http.StatusNotFound)
		}
	}), func(name string) bool { return name == "sales" || name == "keyless" }))
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, name := range []string{"sales", "sales", "keyless", "+4915112345678", "guess-2"} {
		resp, err := http.Post(server.URL+"/webhooks/"+name, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	text := scrape(t, m)
	has(t, text, `campaignd_webhook_requests_total{channel="sales",code="200"} 2`)
	has(t, text, `campaignd_webhook_requests_total{channel="keyless",code="503"} 1`)
	has(t, text, `campaignd_webhook_requests_total{channel="",code="404"} 2`)
	has(t, text, `campaignd_webhook_request_seconds_count 5`)
	if strings.Contains(text, "49151") || strings.Contains(text, "guess") {
		t.Error("what a stranger asked for became a label")
	}
}

func TestLogLinesAreCountedByLevel(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	var written strings.Builder
	log := slog.New(m.Logs(slog.NewTextHandler(&written, nil))).With("channel_id", 1).WithGroup("g")
	log.Info("one")
	log.Warn("two")
	log.Error("three")
	log.Error("four")
	text := scrape(t, m)
	has(t, text, `campaignd_log_records_total{level="warn"} 1`)
	has(t, text, `campaignd_log_records_total{level="error"} 2`)
	if n := strings.Count(written.String(), "channel_id=1"); n != 4 {
		t.Errorf("%d of 4 lines were written: %s", n, written.String())
	}
}

// A command line may hold the password of a database.
func TestProfilesAreServedWithoutTheCommandLine(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	server := httptest.NewServer(m.Handler(slog.New(slog.DiscardHandler)))
	defer server.Close()
	for path, want := range map[string]int{
		"/": 200, "/metrics": 200, "/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/heap": 200,
		"/debug/pprof/cmdline": 404, "/webhooks/sales": 404,
	} {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func has(t *testing.T, text, line string) {
	t.Helper()
	if !strings.Contains("\n"+text, "\n"+line+"\n") {
		name, _, _ := strings.Cut(line, "{")
		var like []string
		for _, l := range strings.Split(text, "\n") {
			if strings.HasPrefix(l, strings.Fields(name)[0]) {
				like = append(like, l)
			}
		}
		t.Errorf("there is no %s\namong\n%s", line, strings.Join(like, "\n"))
	}
}

// BenchmarkObserver is what a message pays for being watched, from as many
// goroutines as sending uses.
func BenchmarkObserver(b *testing.B) {
	o := metrics.New().Channel(campaign.Channel{ID: 1, Name: "sales"})
	b.SetParallelism(100)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			for stage := range sender.Stage(sender.Stages) {
				o.Stage(stage, 3*time.Millisecond)
			}
			o.Answered(campaign.Answer{Kind: campaign.AnswerAccepted})
		}
	})
}

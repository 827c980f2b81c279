package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/pgtest"
	"github.com/campaignd/campaignd/internal/planning"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/schedule"
)

// A year of four schedules on three clocks, over the changes to summer time and
// back, with three daemons at a time that die before or after any step and stay
// away for minutes or days. What must come is reckoned minute by minute, by other
// means than the schedule's.
func TestEachMomentOfAYearIsLaunchedOnceOrSkippedWithAReason(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			newYear(t, seed).run()
		})
	}
}

type year struct {
	t          *testing.T
	random     *rand.Rand
	store      *postgres.Store
	start, now time.Time
	timetables []campaign.Timetable
	passes     []time.Time // moments at which daemons were alive
}

const people = 3

func newYear(t *testing.T, seed uint64) *year {
	t.Helper()
	ctx := t.Context()
	store, err := postgres.Open(ctx, pgtest.DB(t))
	if err != nil {
		t.Fatal(err)
	}
	channel, err := store.AddChannel(ctx, campaign.Channel{Name: "sales", Phone: "+4930123456", BaseURL: "http://127.0.0.1:1", KeyRef: "env:K", WebhookSecretRef: "env:S", Rate: 100})
	if err != nil {
		t.Fatal(err)
	}
	news := campaign.Template{ProviderID: "1", Name: "news", Language: "en", Status: campaign.TemplateApproved, Category: campaign.CategoryUtility,
		Format: campaign.FormatPositional, Sendable: true, Slots: []campaign.Slot{{Key: "body.1", Kind: campaign.SlotText, Required: true}},
		Parts: []campaign.Part{{Kind: campaign.PartBody, Text: "News of {{1}}"}}, Components: []byte(`[]`)}
	if _, err := store.SyncTemplates(ctx, channel.ID, []campaign.Template{news}); err != nil {
		t.Fatal(err)
	}
	rows := func(yield func(campaign.ContactRow, error) bool) {
		for i := range people {
			phone := fmt.Sprintf("+49151%08d", i)
			if !yield(campaign.ContactRow{Number: int64(i + 2), Phone: phone, MatchKey: phone, Country: "DE"}, nil) {
				return
			}
		}
	}
	if _, err := store.ImportContacts(ctx, postgres.ImportOptions{List: "readers"}, rows); err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	y := &year{t: t, random: rand.New(rand.NewPCG(seed, seed)), store: store, start: start, now: start}
	for name, s := range map[string]struct{ cron, zone string }{
		"nightly":  {"30 2 * * *", "Europe/Berlin"},
		"weekends": {"15 1,2,3 * * 0,6", "Europe/Berlin"},
		"mondays":  {"0 9 * * 1", "America/New_York"},
		"monthly":  {"30 2 1,4,5 * *", "Australia/Sydney"},
	} {
		cron, err := schedule.Parse(s.cron, s.zone)
		if err != nil {
			t.Fatal(err)
		}
		first := cron.Next(start.Add(-time.Second))
		made, _, err := store.CreateSchedule(ctx, campaign.Timetable{Name: name, Channel: "sales", Hash: name, Cron: s.cron, TimeZone: s.zone, Late: time.Hour, NextAt: &first,
			Document: fmt.Appendf(nil, "name: %s\nchannel: sales\ntemplate: {name: news, language: en}\naudience: {list: readers}\nparameters: {body.1: \"{date}\"}\nschedule: {cron: %q, timezone: %s}\n", name, s.cron, s.zone)}, false)
		if err != nil {
			t.Fatal(err)
		}
		y.timetables = append(y.timetables, made)
	}
	return y
}

func (y *year) run() {
	for end := y.start.AddDate(1, 0, 0); y.now.Before(end); {
		y.advance()
		y.daemons(0.02)
	}
	y.daemons(0) // what the last deaths left
	y.now = y.now.Add(10 * time.Minute)
	y.daemons(0)
	for _, t := range y.timetables {
		y.check(t)
	}
	ending, err := y.store.Ending(y.t.Context()) // as every daemon does
	for _, id := range ending {
		if _, err := y.store.Sweep(y.t.Context(), id); err != nil {
			y.t.Error(err)
		}
	}
	if err != nil {
		y.t.Error(err)
	}
	findings, err := y.store.Verify(y.t.Context(), 0, nil)
	if err != nil || len(findings) > 0 {
		y.t.Errorf("verify finds %v, %v", findings, err)
	}
}

// advance moves the clock to soon after the next moment, or lets everything be
// down for a while.
func (y *year) advance() {
	if y.random.Float64() < 0.05 {
		down := time.Duration(y.random.Int64N(int64(3 * time.Hour)))
		if y.random.Float64() < 0.2 {
			down = time.Duration(y.random.Int64N(int64(6 * 24 * time.Hour)))
		}
		y.now = y.now.Add(down)
		return
	}
	next := y.now.Add(24 * time.Hour)
	all, err := y.store.Schedules(y.t.Context())
	if err != nil {
		y.t.Fatal(err)
	}
	for _, t := range all {
		if t.NextAt != nil && t.NextAt.After(y.now) && t.NextAt.Before(next) {
			next = *t.NextAt
		}
	}
	y.now = next.Add(time.Duration(y.random.Int64N(int64(2 * time.Minute))))
}

// daemons lets three of them work at this moment, each of which may die at every
// step; now and then a fresh one takes up what they left.
func (y *year) daemons(deadly float64) {
	y.passes = append(y.passes, y.now)
	var wg sync.WaitGroup
	for range 3 {
		mortal := &mortal{Store: y.store, random: rand.New(rand.NewPCG(y.random.Uint64(), 0)), deadly: deadly}
		wg.Go(func() {
			runner := &schedule.Runner{Store: mortal, Log: slog.New(slog.DiscardHandler)}
			requests := &planning.Requests{Store: mortal, Log: slog.New(slog.DiscardHandler)}
			for range 2 {
				err := runner.Pass(y.t.Context(), y.now)
				if err == nil {
					_, err = requests.Pass(y.t.Context(), y.now)
				}
				if err != nil && !errors.Is(err, errDied) {
					y.t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// mortal is a store whose daemon dies before or after a step.
type mortal struct {
	*postgres.Store
	random *rand.Rand
	deadly float64
	dead   bool
}

var errDied = errors.New("the daemon died")

func (m *mortal) mayDie() error {
	if m.dead = m.dead || m.random.Float64() < m.deadly; m.dead {
		return errDied // and does nothing any more
	}
	return nil
}

func (m *mortal) AdvanceSchedule(ctx context.Context, a campaign.Advance) (campaign.ID, bool, error) {
	if err := m.mayDie(); err != nil {
		return 0, false, err
	}
	id, ok, err := m.Store.AdvanceSchedule(ctx, a)
	return id, ok, errors.Join(err, m.mayDie())
}

func (m *mortal) CreatePlan(ctx context.Context, in postgres.PlanInput) (campaign.Launched, error) {
	if err := m.mayDie(); err != nil {
		return campaign.Launched{}, err
	}
	l, err := m.Store.CreatePlan(ctx, in)
	return l, errors.Join(err, m.mayDie())
}

func (m *mortal) Launch(ctx context.Context, id campaign.ID) (campaign.State, bool, error) {
	if err := m.mayDie(); err != nil {
		return "", false, err
	}
	state, ok, err := m.Store.Launch(ctx, id)
	return state, ok, errors.Join(err, m.mayDie())
}

func (m *mortal) FinishRequest(ctx context.Context, r campaign.LaunchRequest) error {
	return errors.Join(m.mayDie(), m.unlessDead(func() error { return m.Store.FinishRequest(ctx, r) }))
}

func (m *mortal) DelayRequest(ctx context.Context, r campaign.LaunchRequest, problem string, until time.Time) error {
	return m.unlessDead(func() error { return m.Store.DelayRequest(ctx, r, problem, until) })
}

func (m *mortal) FailRequest(ctx context.Context, r campaign.LaunchRequest, reason string) error {
	return m.unlessDead(func() error { return m.Store.FailRequest(ctx, r, reason) })
}

func (m *mortal) unlessDead(do func() error) error {
	if m.dead {
		return errDied
	}
	return do()
}

// check compares what became of a timetable's moments with what must have come.
func (y *year) check(t campaign.Timetable) {
	ctx := y.t.Context()
	want := reckon(y.t, t.Cron, t.TimeZone, y.start, y.now)
	found, err := y.store.Occurrences(ctx, t.ID, 10_000)
	if err != nil {
		y.t.Fatal(err)
	}
	cron, err := schedule.Of(t)
	if err != nil {
		y.t.Fatal(err)
	}
	became := map[time.Time]campaign.Occurrence{}
	for _, o := range found {
		became[o.At.UTC()] = o
	}
	if len(became) != len(found) || len(found) != len(want) {
		y.t.Errorf("%s: %d occurrences at %d moments, want %d", t.Name, len(found), len(became), len(want))
	}
	launched, skipped, cancelled := 0, 0, 0
	for _, at := range want {
		o, ok := became[at]
		alive := y.firstPass(at)
		switch {
		case !ok:
			y.t.Errorf("%s: nothing became of %s", t.Name, cron.Key(at))
		case o.Outcome == campaign.OccurrenceSkipped:
			skipped++
			if o.Reason == "" || o.CampaignID != 0 {
				y.t.Errorf("%s: %s was skipped: %+v", t.Name, cron.Key(at), o)
			}
		case alive.Sub(at) > t.Late:
			y.t.Errorf("%s: %s was launched although nobody was there before %s", t.Name, cron.Key(at), alive)
		default:
			launched++
			c, err := y.store.Campaign(ctx, fmt.Sprint(o.CampaignID))
			if err != nil || c.Name != t.Name || c.Key != cron.Key(at) {
				y.t.Errorf("%s: %s launched %q %q, %v", t.Name, cron.Key(at), c.Name, c.Key, err)
				continue
			}
			if o.State == campaign.Cancelled {
				cancelled++
				status, err := y.store.Status(ctx, c.ID)
				if err != nil || len(status.Holds) != 1 || !strings.Contains(status.Holds[0].Reason, "no daemon could start it in time") {
					y.t.Errorf("%s: %s was cancelled without a reason: %+v, %v", t.Name, cron.Key(at), status.Holds, err)
				}
				continue
			}
			if o.State != campaign.Running || c.Total != people || int64(c.LastID-c.FirstID) < people-1 {
				y.t.Errorf("%s: the campaign of %s is %s with %d messages", t.Name, cron.Key(at), o.State, c.Total)
			}
			if got := c.Spec.Parameters["body.1"].Constant.Text; got != at.In(cron.Zone()).Format(time.DateOnly) {
				y.t.Errorf("%s: {date} is %s at %s", t.Name, got, cron.Key(at))
			}
		}
	}
	if launched < len(want)*3/4 || launched == len(want) && len(want) > 100 {
		y.t.Errorf("%s: %d of %d were launched: the year tests nothing", t.Name, launched, len(want))
	}
	y.t.Logf("%s: %d moments, %d launched (%d of them cancelled: planned too late), %d skipped", t.Name, len(want), launched, cancelled, skipped)
}

// firstPass is when daemons were first there after a moment.
func (y *year) firstPass(at time.Time) time.Time {
	for _, pass := range y.passes {
		if !pass.Before(at) {
			return pass
		}
	}
	return y.now
}

// reckon walks over every minute and reads the clock on the wall: a reading counts
// when it is shown first, and those that it jumps over count where it lands.
func reckon(t *testing.T, cron, zone string, from, to time.Time) []time.Time {
	t.Helper()
	place, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	const layout = "2006-01-02 15:04"
	wall := func(at time.Time) time.Time {
		shown, err := time.Parse(layout, at.In(place).Format(layout))
		if err != nil {
			t.Fatal(err)
		}
		return shown
	}
	var moments []time.Time
	latest := wall(from.Add(-time.Minute)) // the farthest that the clock has shown
	for at := from; !at.After(to); at = at.Add(time.Minute) {
		shown, comes := wall(at), false
		for ; latest.Before(shown); latest = latest.Add(time.Minute) {
			comes = comes || matches(cron, latest.Add(time.Minute))
		}
		if comes {
			moments = append(moments, at)
		}
	}
	return moments
}

// matches knows the few cron lines of this test.
func matches(cron string, wall time.Time) bool {
	h, m, day := wall.Hour(), wall.Minute(), wall.Weekday()
	switch cron {
	case "30 2 * * *":
		return h == 2 && m == 30
	case "15 1,2,3 * * 0,6":
		return h >= 1 && h <= 3 && m == 15 && (day == time.Saturday || day == time.Sunday)
	case "0 9 * * 1":
		return h == 9 && m == 0 && day == time.Monday
	case "30 2 1,4,5 * *":
		return h == 2 && m == 30 && (wall.Day() == 1 || wall.Day() == 4 || wall.Day() == 5)
	}
	panic(cron)
}

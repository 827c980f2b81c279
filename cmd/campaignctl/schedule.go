package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/schedule"
)

func scheduleCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "schedule",
		Usage: "look at campaigns that come again and again",
		Description: `A schedule is a campaign file with schedule.cron that was launched. At each of its
moments a daemon plans and starts a campaign of its own: its name is the
schedule's, its key the moment (2026-04-01T09:00+02:00).`,
		Subcommands: []*cli.Command{
			{
				Name:        "list",
				Usage:       "list the schedules",
				Description: text(`Lists the schedules with the next moment of each.`, examples(`schedule list`, `schedule list --json`)),
				Flags:       []cli.Flag{jsonFlag()},
				Action:      p.scheduleList,
			},
			{
				Name:      "show",
				Usage:     "show one schedule and what became of its moments",
				ArgsUsage: "NAME",
				Description: text(
					`Shows the schedule, its next moments, and the last ones: the campaign that each of
them launched, or why it was skipped.`,
					examples(`schedule show weekly-news`, `schedule show weekly-news --last 50 --json`)),
				Flags: []cli.Flag{
					&cli.IntFlag{Name: "last", Value: 10, Usage: "show the last `N` moments"},
					jsonFlag(),
				},
				Action: p.scheduleShow,
			},
			{
				Name:      "next",
				Usage:     "say when a schedule comes",
				ArgsUsage: "NAME",
				Description: text(
					`Prints the next moments on the schedule's own clock and in UTC. A reading of the
clock that summer time leaves out counts at the end of the gap; one that comes
twice counts the first time.`,
					examples(`schedule next weekly-news`, `schedule next weekly-news -n 52 --json`)),
				Flags: []cli.Flag{
					&cli.IntFlag{Name: "n", Value: 5, Usage: "print `N` moments"},
					jsonFlag(),
				},
				Action: p.scheduleNext,
			},
			{
				Name:      "pause",
				Usage:     "skip the moments of a schedule for now",
				ArgsUsage: "NAME",
				Description: text(
					`Moments that come while a schedule is paused are skipped, and noted as such.
Campaigns that it launched go on: "campaign pause" stops those.`,
					examples(`schedule pause weekly-news --reason "summer break"`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "reason", Usage: "`TEXT` that \"schedule show\" tells of each moment that was skipped for it"},
					jsonFlag(),
				},
				Action: p.schedulePause,
			},
			{
				Name:        "resume",
				Usage:       "go on with a schedule",
				ArgsUsage:   "NAME",
				Description: text(`Goes on with the next moment. Those that passed meanwhile stay skipped.`, examples(`schedule resume weekly-news`)),
				Flags:       []cli.Flag{jsonFlag()},
				Action:      p.scheduleResume,
			},
			{
				Name:      "delete",
				Usage:     "end a schedule for good",
				ArgsUsage: "NAME",
				Description: text(
					`Deletes the schedule and the notes about its moments. Campaigns that it launched
stay, and go on. Asks first; without a terminal --yes is needed.`,
					examples(`schedule delete weekly-news --yes`)),
				Flags:  []cli.Flag{yesFlag(), jsonFlag()},
				Action: p.scheduleDelete,
			},
		},
	}
}

// scheduleView is what --json prints of a schedule.
type scheduleView struct {
	ID          int64                `json:"id"`
	Name        string               `json:"name"`
	State       string               `json:"state"` // active, paused or ended
	Channel     string               `json:"channel"`
	Cron        string               `json:"cron"`
	TimeZone    string               `json:"timezone"`
	Late        string               `json:"late"`
	EndsAt      *time.Time           `json:"ends_at"`
	Expect      campaign.Expectation `json:"expect_recipients"`
	NextAt      *time.Time           `json:"next_at"`
	PausedAt    *time.Time           `json:"paused_at"`
	PauseReason string               `json:"pause_reason"`
	CreatedAt   time.Time            `json:"created_at"`
}

func viewOf(t campaign.Timetable) scheduleView {
	return scheduleView{
		ID: t.ID, Name: t.Name, State: t.State(), Channel: t.Channel, Cron: t.Cron, TimeZone: t.TimeZone, Late: span(t.Late),
		EndsAt: utc(t.EndsAt), Expect: t.Expect, NextAt: utc(t.NextAt), PausedAt: utc(t.PausedAt), PauseReason: t.PauseReason, CreatedAt: t.CreatedAt.UTC(),
	}
}

// moment is a time on a schedule's clock and in UTC.
type moment struct {
	At    time.Time `json:"at"`
	Local string    `json:"local"` // and the key of the moment's campaign
	Zone  string    `json:"timezone"`
}

func moments(cron schedule.Cron, times []time.Time) []moment {
	list := make([]moment, len(times))
	for i, at := range times {
		list[i] = moment{at.UTC(), cron.Key(at), cron.Zone().String()}
	}
	return list
}

// clock writes a moment for a person: on its own clock, with the day.
func clock(cron schedule.Cron, at *time.Time) string {
	if at == nil {
		return "-"
	}
	return at.In(cron.Zone()).Format("Mon 2006-01-02 15:04 MST")
}

func (p *program) scheduleList(c *cli.Context) error {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	found, err := s.Schedules(c.Context)
	if err != nil {
		return err
	}
	views := make([]scheduleView, len(found))
	for i, t := range found {
		views[i] = viewOf(t)
	}
	return p.result(c, views, func(w io.Writer) error {
		if len(found) == 0 {
			p.note("there are no schedules; campaignctl campaign launch -f FILE makes one when the file has schedule.cron")
			return nil
		}
		t := newTable(w)
		row(t, "NAME", "CHANNEL", "STATE", "CRON", "TIME ZONE", "NEXT")
		for _, f := range found {
			cron, err := schedule.Of(f)
			if err != nil {
				return err
			}
			row(t, f.Name, f.Channel, f.State(), f.Cron, f.TimeZone, clock(cron, f.NextAt))
		}
		return t.Flush()
	})
}

// shownSchedule is "schedule show --json".
type shownSchedule struct {
	scheduleView
	Next        []moment         `json:"next"`
	Occurrences []occurrenceView `json:"occurrences"` // the newest first
}

type occurrenceView struct {
	moment
	Outcome    string         `json:"outcome"`
	Reason     string         `json:"reason"`
	CampaignID campaign.ID    `json:"campaign_id"`
	State      campaign.State `json:"campaign_state"`
}

func (p *program) scheduleShow(c *cli.Context) error {
	if c.Int("last") < 0 {
		return usage("0 or more", "--last %d is too small", c.Int("last"))
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	found, err := s.Schedule(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	cron, err := schedule.Of(found)
	if err != nil {
		return err
	}
	past, err := s.Occurrences(c.Context, found.ID, c.Int("last"))
	if err != nil {
		return err
	}
	shown := shownSchedule{scheduleView: viewOf(found), Next: moments(cron, upcoming(found, cron, 3)), Occurrences: []occurrenceView{}}
	for _, o := range past {
		shown.Occurrences = append(shown.Occurrences, occurrenceView{moments(cron, []time.Time{o.At})[0], o.Outcome, o.Reason, o.CampaignID, o.State})
	}
	return p.result(c, shown, func(w io.Writer) error { return printSchedule(w, shown, cron) })
}

// upcoming gives the moments of a schedule that are to come.
func upcoming(t campaign.Timetable, cron schedule.Cron, n int) []time.Time {
	if t.NextAt == nil || n == 0 {
		return nil
	}
	return append([]time.Time{*t.NextAt}, cron.Upcoming(*t.NextAt, n-1)...)
}

func printSchedule(w io.Writer, s shownSchedule, cron schedule.Cron) error {
	t := newTable(w)
	row(t, "schedule", s.Name)
	state := s.State
	if s.State == "paused" && s.PauseReason != "" {
		state += ": " + s.PauseReason
	}
	row(t, "state", state)
	row(t, "channel", s.Channel)
	row(t, "cron", s.Cron+" ("+s.TimeZone+")")
	row(t, "late", "at most "+s.Late+", else skipped")
	if s.EndsAt != nil {
		row(t, "end", clock(cron, s.EndsAt))
	}
	for i, m := range s.Next {
		row(t, []string{"next", "", ""}[min(i, 2)], clock(cron, &m.At))
	}
	if err := t.Flush(); err != nil || len(s.Occurrences) == 0 {
		return err
	}
	fmt.Fprintln(w)
	t = newTable(w)
	for _, o := range s.Occurrences {
		what := o.Reason
		if o.CampaignID != 0 {
			what = strings.TrimSpace(fmt.Sprintf("campaign %d %s", o.CampaignID, o.State))
			if o.Reason != "" {
				what += ": " + oneLine(o.Reason)
			}
		}
		row(t, clock(cron, &o.At), o.Outcome, what)
	}
	return t.Flush()
}

func (p *program) scheduleNext(c *cli.Context) error {
	if n := c.Int("n"); n < 1 || n > 10_000 {
		return usage("1 to 10000", "-n %d cannot be printed", n)
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	found, err := s.Schedule(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	cron, err := schedule.Of(found)
	if err != nil {
		return err
	}
	next := upcoming(found, cron, c.Int("n"))
	if found.PausedAt != nil {
		p.note("schedule %s is paused: these are skipped unless it is resumed before", found.Name)
	}
	return p.result(c, moments(cron, next), func(w io.Writer) error {
		t := newTable(w)
		for _, at := range next {
			row(t, clock(cron, &at), at.UTC().Format("2006-01-02T15:04Z"))
		}
		return t.Flush()
	})
}

func (p *program) schedulePause(c *cli.Context) error {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	found, err := s.PauseSchedule(c.Context, c.Args().First(), c.String("reason"))
	if err != nil {
		return err
	}
	return p.result(c, viewOf(found), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "schedule %s is %s; what comes meanwhile is skipped\n", found.Name, found.State())
		return err
	})
}

func (p *program) scheduleResume(c *cli.Context) error {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	found, err := s.Schedule(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	now, err := s.Now(c.Context)
	if err != nil {
		return err
	}
	// What came while it was paused, and no daemon has noted: a schedule that ends
	// its pause must not launch it.
	for found.PausedAt != nil {
		a := campaign.Advance{Timetable: found, Next: found.NextAt}
		if found.NextAt != nil && !found.NextAt.After(now) {
			if a, err = schedule.Decide(found, now); err != nil {
				return err
			}
		}
		if a.Next != nil && !a.Next.After(now) {
			if _, _, err = s.AdvanceSchedule(c.Context, a); err == nil {
				found, err = s.Schedule(c.Context, found.Name)
			}
		} else {
			found, err = s.ResumeSchedule(c.Context, found, a.Next, a.Skipped)
		}
		if err != nil {
			return err
		}
	}
	cron, err := schedule.Of(found)
	if err != nil {
		return err
	}
	return p.result(c, viewOf(found), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "schedule %s is %s; next: %s\n", found.Name, found.State(), clock(cron, found.NextAt))
		return err
	})
}

func (p *program) scheduleDelete(c *cli.Context) error {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	found, err := s.Schedule(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	if err := p.confirm(c, "Type the name of the schedule to delete it", found.Name); err != nil {
		return err
	}
	if found, err = s.DeleteSchedule(c.Context, found.Name); err != nil {
		return err
	}
	return p.result(c, viewOf(found), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "schedule %s is deleted; its campaigns stay\n", found.Name)
		return err
	})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

func launchCommand(p *program) *cli.Command {
	flags := append(specFlags(),
		yesFlag(),
		&cli.StringFlag{Name: "expect-recipients", Category: categoryGuard, Usage: "refuse when not `N|MIN..MAX` recipients are eligible"},
		&cli.GenericFlag{Name: "wait", Category: categoryWait, Value: new(waitFor),
			Usage: "wait until nothing is left to send; `settled` also until the fate of every message is known"},
		&cli.DurationFlag{Name: "timeout", Category: categoryWait, Usage: "wait no longer than `DURATION`, such as 2h"},
		&cli.BoolFlag{Name: "replace", Usage: "put it in the place of the schedule, or of the draft, of the same name"},
		jsonFlag(),
	)
	return &cli.Command{
		Name:      "launch",
		Usage:     "start a campaign",
		ArgsUsage: "[CAMPAIGN]",
		Description: text(
			`Starts a planned CAMPAIGN, or with -f (or the flags below) plans one and starts it.
The frozen audience is sent, whatever became of the list since; who joined or left
it is told. Launching twice does no harm: the same plan, or the same name and key,
is the same campaign.`,
			`A file with schedule.cron makes a schedule instead: a daemon plans and starts a
campaign of its own at each of its moments. See "campaignctl schedule".`,
			`{date}, {week}, {month} and {year} in the file's name, key, constants and times
stand for today, on the clock of schedule.timezone or else of this machine;
{date+1d} and {week-1w} reckon. For cron: key: "{date}".`,
			`On a terminal it asks for the number of eligible recipients to be typed. Without
one, as in cron, --yes is needed, and --expect-recipients guards against a list
that is not what it should be.`,
			`Exit codes: 5 when the name and key exist with other content, 6 when with --wait
something ended failed or unknown (skipped recipients are no finding), 7 when a
guard refuses, 8 when --timeout passed; the campaign goes on then.`,
			examples(
				`campaign launch -f spring.yaml`,
				`campaign launch -f news.yaml --key 2026-04-01 --yes \
              --expect-recipients 900..1100 --wait --quiet`,
				`campaign launch spring-sale-2026 --wait=settled --timeout 2h --json`,
				`campaign launch --name hello --channel sales-eu --template welcome \
              --language en_US --list vips -p body.1=column:first_name`)),
		Flags:  flags,
		Action: p.campaignLaunch,
	}
}

// waitFor is the value of --wait: nothing, completed (the flag alone) or settled.
type waitFor string

const (
	waitCompleted waitFor = "completed"
	waitSettled   waitFor = "settled"
)

// IsBoolFlag lets --wait stand without a value.
func (*waitFor) IsBoolFlag() bool { return true }

// Set reads the value; the flag alone arrives as "true".
func (w *waitFor) Set(s string) error {
	switch s {
	case "true", string(waitCompleted):
		*w = waitCompleted
	case string(waitSettled):
		*w = waitSettled
	case "false":
		*w = ""
	default:
		return errors.New("want completed or settled")
	}
	return nil
}

func (w *waitFor) String() string {
	if w == nil {
		return ""
	}
	return string(*w)
}

func (p *program) campaignLaunch(c *cli.Context) error {
	wait, ok := c.Generic("wait").(*waitFor)
	if !ok || *wait == "" {
		if c.IsSet("timeout") {
			return usage("--wait --timeout 2h", "--timeout goes with --wait")
		}
		wait = new(waitFor)
	}
	expect, err := parseExpect(c.String("expect-recipients"))
	if err != nil {
		return err
	}
	if c.Duration("timeout") < 0 {
		return usage("as in 2h", "--timeout %s is below nothing", c.Duration("timeout"))
	}
	if err := oneCampaign(c); err != nil {
		return err
	}
	var spec campaign.Spec
	if hasSpec(c) {
		var file document
		if spec, file, err = p.document(c); err != nil {
			return err
		}
		if spec.Schedule.Cron != "" {
			return p.launchSchedule(c, spec, file, expect)
		}
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()

	launched, err := p.toLaunch(c, s, spec)
	if err != nil {
		return err
	}
	if err := p.start(c, s, &launched, expect); err != nil {
		return err
	}
	show := func() error {
		return p.result(c, launched, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "campaign %d %s is %s: %s eligible, %s skipped\n",
				launched.ID, launched.Name, launched.State, count(launched.Eligible), count(launched.Total-launched.Eligible))
			return err
		})
	}
	if *wait == "" {
		return show()
	}
	if !c.Bool("json") {
		if err := show(); err != nil {
			return err
		}
	}
	status, waited := p.wait(c.Context, s, launched.ID, *wait, c.Duration("timeout"))
	if status.State != "" {
		launched.State = status.State
	}
	if c.Bool("json") {
		if err := show(); err != nil { // one value, however the waiting ends
			return err
		}
	} else if over(status) {
		if _, err := fmt.Fprintf(p.out(), "campaign %d %s is %s\n", status.ID, status.Name, progressLine(status)); err != nil {
			return err
		}
	}
	return waited
}

// oneCampaign wants either a planned campaign or the description of one.
func oneCampaign(c *cli.Context) error {
	switch first := c.Args().First(); {
	case !hasSpec(c) && first == "":
		return usage("campaignctl campaign launch -f FILE, or a planned campaign's number or name", "there is nothing to launch")
	case hasSpec(c) && first != "":
		hint := "give one of them"
		if first == string(waitSettled) || first == string(waitCompleted) {
			hint = "is it --wait=" + first + "?"
		}
		return usage(hint, "%q names a planned campaign, and -f or flags describe another", first)
	}
	return nil
}

// toLaunch gives the campaign that the command line means, planned.
func (p *program) toLaunch(c *cli.Context, s *postgres.Store, spec campaign.Spec) (campaign.Launched, error) {
	if !hasSpec(c) {
		return findLaunch(c.Context, s, c.Args().First())
	}
	plan, err := p.plan(c.Context, s, spec, c.Bool("replace"))
	if err != nil {
		return campaign.Launched{}, err
	}
	for _, warning := range plan.Warnings {
		p.warn("warning: %s", warning)
	}
	return plan.Launched, nil
}

func findLaunch(ctx context.Context, s *postgres.Store, ref string) (campaign.Launched, error) {
	found, err := s.Campaign(ctx, ref)
	if err != nil {
		return campaign.Launched{}, err
	}
	status, err := s.Status(ctx, found.ID)
	if err != nil {
		return campaign.Launched{}, err
	}
	return campaign.Launched{
		ID: found.ID, Name: found.Name, State: found.State, PlanHash: found.PlanHash,
		Total: found.Total, Eligible: found.Eligible, Skipped: status.Skipped,
	}, nil
}

// start launches what was planned, after everything that may speak against it.
func (p *program) start(c *cli.Context, s *postgres.Store, launched *campaign.Launched, expect expectation) error {
	if err := expect.check(launched.Eligible); err != nil {
		return err
	}
	if launched.State == campaign.Draft {
		if !launched.Created {
			if err := p.compare(c.Context, s, launched.ID); err != nil {
				return err
			}
			if err := checkMedia(c.Context, s, launched.ID); err != nil {
				return err
			}
		}
		question := fmt.Sprintf("%s is sent to %s. Type the number of recipients to launch it",
			launched.Name, plural(launched.Eligible, "recipient"))
		if err := p.confirm(c, question, strconv.FormatInt(launched.Eligible, 10)); err != nil {
			return err
		}
	}
	state, started, err := s.Launch(c.Context, launched.ID)
	if err != nil {
		return err
	}
	launched.State = state
	if !started {
		p.note("campaign %d %s was launched before; nothing is sent twice", launched.ID, launched.Name)
	}
	return nil
}

// planExamples is how many people a comparison names.
const planExamples = 3

// compare tells how the list changed since the plan, and refuses a plan whose
// template did: its parameters were checked against another text.
func (p *program) compare(ctx context.Context, s *postgres.Store, id campaign.ID) error {
	d, err := s.PlanDiff(ctx, id, planExamples)
	if err != nil {
		return err
	}
	if d.Joined > 0 {
		p.note("%s joined the list since the plan and will not get it%s", people(d.Joined), named3(d.JoinedPhones))
	}
	if d.Left > 0 {
		p.note("%s left the list since the plan and will get it all the same%s", people(d.Left), named3(d.LeftPhones))
	}
	switch {
	case len(d.TemplatesChanged) > 0:
		return campaign.ErrTemplate.With(fmt.Sprintf("template %s changed since the plan", strings.Join(d.TemplatesChanged, ", ")),
			"plan again: campaignctl campaign plan -f FILE --replace")
	case len(d.TemplatesUnusable) > 0:
		return campaign.ErrTemplate.With("template "+strings.Join(d.TemplatesUnusable, ", "),
			"only approved templates are sent; campaignctl template sync asks the provider again")
	}
	return nil
}

func people(n int64) string {
	if n == 1 {
		return "1 person"
	}
	return count(n) + " people"
}

func named3(phones []string) string {
	if len(phones) == 0 {
		return ""
	}
	return ", such as " + strings.Join(phones, ", ")
}

// expectation is a range of recipients; the zero value expects nothing.
type expectation struct {
	given       bool
	least, most int64
}

func parseExpect(s string) (expectation, error) {
	if s == "" {
		return expectation{}, nil
	}
	from, to, ranged := strings.Cut(s, "..")
	if !ranged {
		to = from
	}
	least, err := strconv.ParseInt(from, 10, 64)
	most, err2 := strconv.ParseInt(to, 10, 64)
	if err != nil || err2 != nil || least < 0 || most < least {
		return expectation{}, usage("as in 1000 or 900..1100", "--expect-recipients %q is neither N nor MIN..MAX", s)
	}
	return expectation{true, least, most}, nil
}

func (e expectation) check(eligible int64) error {
	if !e.given || e.least <= eligible && eligible <= e.most {
		return nil
	}
	want := count(e.least)
	if e.most != e.least {
		want += " to " + count(e.most)
	}
	are := "recipients are"
	if eligible == 1 {
		are = "recipient is"
	}
	return campaign.ErrGuard.With(fmt.Sprintf("%s %s eligible, and %s expected: nothing was launched", count(eligible), are, want),
		"look at the list, and at the skip reasons of campaignctl campaign plan")
}

// waitEvery is how often waiting looks at the counters.
const waitEvery = 500 * time.Millisecond

// wait follows a campaign to its end and says how it ended: findings when
// something failed or is unknown, a timeout, or an error. The campaign goes on
// whatever becomes of the waiting.
func (p *program) wait(ctx context.Context, s *postgres.Store, id campaign.ID, until waitFor, timeout time.Duration) (campaign.Status, error) {
	deadline := time.Time{}
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	follow := p.follower()
	defer follow.finish()
	for {
		status, err := s.Status(ctx, id)
		if err != nil {
			return status, err
		}
		follow.show(status)
		switch {
		case ended(status, until):
			follow.finish()
			return status, outcomeOf(status)
		case !deadline.IsZero() && !time.Now().Before(deadline):
			return status, errTimeout.With(fmt.Sprintf("campaign %d is not over after %s: %s", id, span(timeout), progressLine(status)),
				"it goes on; follow it with: campaignctl campaign watch "+strconv.FormatInt(int64(id), 10))
		}
		pause := waitEvery
		if !deadline.IsZero() {
			pause = min(pause, max(time.Until(deadline), 0))
		}
		select {
		case <-ctx.Done():
			return status, fmt.Errorf("the campaign goes on: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// ended reports whether waiting is over.
func ended(s campaign.Status, until waitFor) bool {
	if !over(s) {
		return false
	}
	if until != waitSettled {
		return true
	}
	for state, n := range s.Counts {
		if n > 0 && !state.Settled() {
			return false
		}
	}
	return true
}

// outcomeOf says how a campaign ended.
func outcomeOf(s campaign.Status) error {
	failures, unknown := s.Counts[campaign.Failed], s.Counts[campaign.Unknown]
	switch {
	case failures > 0 || unknown > 0:
		return findings("%s failed, %s unknown: campaignctl campaign report %d says why", plural(failures, "message"), count(unknown), s.ID)
	case s.State == campaign.Cancelled:
		return failed("", "campaign %d was cancelled", s.ID)
	}
	return nil
}

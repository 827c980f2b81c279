package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/phone"
	"github.com/campaignd/campaignd/internal/planning"
	"github.com/campaignd/campaignd/internal/postgres"
)

// previews is how many rendered messages a plan shows.
const previews = 3

func planCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "plan",
		Usage: "freeze who gets what, and show it",
		Description: text(
			`Reads a campaign file, or the flags below, checks every recipient's parameters
against the template, and stores the plan as a draft: who gets what, and who is
skipped and why. Shows the numbers, examples, three messages as they will look, and
when the first and the last leave at the channel's rate. Nothing is sent.`,
			`A campaign file:`,
			`  name: spring-sale-2026            # unique together with key
  key: "2026-04-01"                 # optional
  channel: sales-eu
  template: {name: spring_sale, language: {from: language, default: en_US}}
  audience: {list: vips}            # or {file: vips.csv, country: DE}
  parameters:                       # slot: column, constant or media
    header: {image: {link: https://cdn.example/banner.jpg}}  # or {file: ./banner.jpg}
    body.1: {column: first_name, default: there}
    body.2: SPRING20
  schedule: {at: 2026-04-01T09:00:00+02:00, not_after: 2026-04-03T20:00:00+02:00,
             window: "09:00-20:00", days: mon-fri, timezone: recipient}  # or window: preset
  frequency_cap: {messages: 2, per: 7d, then: skip}  # of marketing, per person; or defer
  rate: 50/s
  on_unknown: hold                  # or resend, fail
  us_marketing: skip                # or attempt
  us_territories: allow             # or skip
  opt_in: required                  # or assumed: everybody on the list agreed
  retry: {code_131049: {first: 24h, factor: 2, attempts: 3}}`,
			`The same name, key and content again is the same plan; other content is a conflict
(exit code 5) unless --replace discards the draft.`,
			examples(`campaign plan -f spring.yaml`, `campaign plan -f spring.yaml --key 2026-05-01 --json`,
				`campaign plan --name hello --channel sales-eu --template welcome --language en_US \
              --list vips -p body.1=column:first_name -p header=image:file:banner.jpg`)),
		Flags: append(specFlags(),
			&cli.BoolFlag{Name: "replace", Usage: "discard the draft of the same name and key first"},
			jsonFlag()),
		Action: p.campaignPlan,
	}
}

func (p *program) campaignPlan(c *cli.Context) error {
	spec, err := p.spec(c)
	if err != nil {
		return err
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	plan, err := p.plan(c.Context, s, spec, c.Bool("replace"))
	if err != nil {
		return err
	}
	for _, warning := range plan.Warnings {
		p.warn("warning: %s", warning)
	}
	plan.FirstAt, plan.LastAt = utc(plan.FirstAt), utc(plan.LastAt)
	return p.result(c, plan, func(w io.Writer) error { return printPlan(w, plan) })
}

// plan freezes a campaign, or finds it frozen already.
func (p *program) plan(ctx context.Context, s *postgres.Store, spec campaign.Spec, replace bool) (campaign.Plan, error) {
	if spec.Schedule.Cron != "" {
		return campaign.Plan{}, usage("campaignctl campaign launch makes a schedule of it; leave schedule.cron out to look at one campaign",
			"a file with schedule.cron is planned at each of its moments")
	}
	id, exists, err := s.FindPlan(ctx, spec.Name, spec.Key)
	if err != nil {
		return campaign.Plan{}, err
	}
	if exists && replace {
		if err := s.DiscardPlan(ctx, id); err != nil {
			return campaign.Plan{}, err
		}
		p.note("discarded the former plan %d", id)
		exists = false
	}
	if exists {
		return foundPlan(ctx, s, spec)
	}
	return planning.Create(ctx, s, planning.Input{
		Spec: spec, Now: time.Now(),
		List: func(ctx context.Context) (campaign.List, error) { return p.audience(ctx, s, spec) },
		Upload: func(ctx context.Context, ch campaign.Channel, m *campaign.Media) (string, error) {
			return p.uploadFor(ctx, s, ch, m, planning.MediaNeed(spec, time.Now()))
		},
	})
}

// foundPlan shows a plan that was made before. Its audience is frozen, so nobody
// is asked again; previews come from the stored messages.
func foundPlan(ctx context.Context, s *postgres.Store, spec campaign.Spec) (campaign.Plan, error) {
	launched, err := s.CreatePlan(ctx, postgres.PlanInput{Spec: spec, Planner: noPlanner{}})
	if err != nil {
		return campaign.Plan{}, err
	}
	plan := campaign.Plan{Launched: launched}
	if launched.State == campaign.Draft {
		// Only for the times and what there is to warn about; where the list or the
		// template has gone, launching says so.
		if again, err := plannerAgain(ctx, s, spec); err == nil {
			if spec.Schedule.HasWindow() {
				zones, err := s.PlannedZones(ctx, launched.ID)
				if err != nil {
					return campaign.Plan{}, err
				}
				again.Recount(zones)
			}
			plan = again.Plan(launched)
		}
	}
	recipients, templates, err := s.Recipients(ctx, launched.ID, previews)
	if err != nil {
		return campaign.Plan{}, err
	}
	for i := range recipients {
		t, err := s.TemplateByID(ctx, templates[i])
		if err != nil {
			return campaign.Plan{}, err
		}
		recipients[i].Language, recipients[i].Text = t.Language, t.Render(recipients[i].Parameters)
	}
	plan.Previews = recipients
	return plan, nil
}

func plannerAgain(ctx context.Context, s *postgres.Store, spec campaign.Spec) (*audience.Planner, error) {
	made, _, err := planning.Prepare(ctx, s, planning.Input{
		Spec: spec, Now: time.Now(),
		// The files of this plan were uploaded when it was made.
		Upload: func(context.Context, campaign.Channel, *campaign.Media) (string, error) { return "uploaded", nil },
	})
	return made, err
}

// noPlanner stands where a plan is known to exist. Should somebody discard it at
// this very moment, nothing is planned in its place.
type noPlanner struct{}

var errDiscarded = campaign.ErrConflict.With("the plan was discarded at the same time", "try again")

func (noPlanner) Templates() []campaign.Template { return nil }
func (noPlanner) Constants() []byte              { return []byte(`{}`) }
func (noPlanner) Hash() string                   { return "" }
func (noPlanner) Decide(*campaign.Contact, int64) (campaign.PlannedMessage, error) {
	return campaign.PlannedMessage{}, errDiscarded
}

// uploadFor uploads with a client of its own: most campaigns need none, and then
// the key need not be here.
func (p *program) uploadFor(ctx context.Context, s *postgres.Store, ch campaign.Channel, m *campaign.Media, atLeast time.Duration) (string, error) {
	client, err := p.client(ch)
	if err != nil {
		return "", err
	}
	defer client.Close()
	return p.upload(ctx, s, client, ch, m, atLeast)
}

// audience gives the list of a campaign; a contact file is imported first, into
// a list of the campaign's own.
func (p *program) audience(ctx context.Context, s *postgres.Store, spec campaign.Spec) (campaign.List, error) {
	name := planning.ListName(spec)
	if spec.Audience.File == "" {
		return s.List(ctx, name)
	}
	input, closeFile, err := p.open(spec.Audience.File)
	if err != nil {
		return campaign.List{}, fmt.Errorf("audience.file: %w", err)
	}
	defer closeFile()
	// What an earlier, unfinished plan left there is not this audience.
	if _, _, err := s.DeleteList(ctx, name); err != nil && !errors.Is(err, campaign.ErrNotFound) {
		return campaign.List{}, err
	}
	im := importer{
		program: p, store: s, list: name,
		options: audience.Options{Country: spec.Audience.Country}, errorsPath: errorsPath(spec.Audience.File, ""),
	}
	result, err := im.run(ctx, input, spec.Audience.File)
	if err != nil {
		return campaign.List{}, fmt.Errorf("audience.file: %w", err)
	}
	if result.Refused > 0 {
		p.warn("warning: %s of %s refused, see %s", plural(result.Refused, "row"), spec.Audience.File, result.ErrorsFile)
	}
	return s.List(ctx, name)
}

func printPlan(w io.Writer, plan campaign.Plan) error {
	verb := "planned"
	if !plan.Created {
		verb = "was planned before, and is " + string(plan.State)
	}
	fmt.Fprintf(w, "campaign %d %s %s\n\n", plan.ID, plan.Name, verb)
	t := newTable(w)
	row(t, "  eligible", right(count(plan.Eligible), 11))
	for _, reason := range bySize(plan.Skipped) {
		row(t, "  skipped, "+reason, right(count(plan.Skipped[reason]), 11), skipText(reason))
	}
	row(t, "  total", right(count(plan.Total), 11))
	if err := t.Flush(); err != nil {
		return err
	}
	printExamples(w, plan.Examples)
	if len(plan.Previews) > 0 {
		fmt.Fprintln(w, "\nas it will look:")
		for _, r := range plan.Previews {
			fmt.Fprintf(w, "\n  to %s (%s)\n", r.Phone, r.Language)
			printIndented(w, r.Text)
		}
	}
	fmt.Fprintln(w)
	t = newTable(w)
	if plan.FirstAt != nil {
		row(t, "first message", when(plan.FirstAt)+" at the earliest")
		last := "soon after: no rate limits the campaign"
		if plan.LastAt != nil {
			last = when(plan.LastAt) + " at the channel's rate"
		}
		row(t, "last message", last)
	}
	row(t, "plan", plan.PlanHash)
	if plan.State == campaign.Draft {
		row(t, "next", fmt.Sprintf("campaignctl campaign launch %d", plan.ID))
	}
	return t.Flush()
}

func printExamples(w io.Writer, examples map[string][]campaign.SkipExample) {
	for _, reason := range slices.Sorted(maps.Keys(examples)) {
		fmt.Fprintf(w, "\nskipped, %s, for example:\n", reason)
		for _, e := range examples[reason] {
			line := "  " + e.Phone
			if e.Row > 0 {
				line = fmt.Sprintf("  row %d, %s", e.Row, e.Phone)
			}
			if e.Column != "" {
				line += ", column " + e.Column
			}
			if e.Problem != "" {
				line += ": " + e.Problem
			}
			fmt.Fprintln(w, oneLine(line))
		}
	}
}

func testCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "test",
		Usage: "send one row of a campaign to a colleague",
		Description: text(
			`Plans the campaign, if that was not done yet, and sends the message of its first
eligible recipient to another number at once, with the parameters of that row. The
draft stays for "campaign launch".`,
			examples(`campaign test -f spring.yaml --to +491701234567`, `campaign test -f spring.yaml --to +491701234567 --dry-run`)),
		Flags: append(specFlags(),
			&cli.StringFlag{Name: "to", Required: true, Usage: "send it to this `NUMBER`"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print the body of the request and send nothing"},
			jsonFlag()),
		Action: p.campaignTest,
	}
}

func (p *program) campaignTest(c *cli.Context) error {
	to, err := parseNumber(c, c.String("to"))
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	spec, err := p.spec(c)
	if err != nil {
		return err
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	plan, err := p.plan(c.Context, s, spec, false)
	if err != nil {
		return err
	}
	return p.sendRow(c, s, spec, plan, to)
}

func (p *program) sendRow(c *cli.Context, s *postgres.Store, spec campaign.Spec, plan campaign.Plan, to phone.Number) error {
	recipients, templates, err := s.Recipients(c.Context, plan.ID, 1)
	if err != nil {
		return err
	}
	if len(recipients) == 0 {
		return campaign.ErrGuard.With(fmt.Sprintf("campaign %d has no eligible recipient whose row could be sent", plan.ID),
			"campaignctl campaign plan shows why they are skipped: "+strings.Join(bySize(plan.Skipped), ", "))
	}
	ch, err := s.Channel(c.Context, spec.Channel)
	if err != nil {
		return err
	}
	t, err := s.TemplateByID(c.Context, templates[0])
	if err != nil {
		return err
	}
	p.note("sending the row of %s to %s", recipients[0].Phone, to.E164)
	return p.direct(c, s, ch, &t, to, recipients[0].Parameters)
}

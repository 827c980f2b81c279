package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

// reasonFlag is the flag whose text the audit keeps.
const reasonFlag = "reason"

// acts are the commands that the audit notes, each with --reason.
func acts() []string {
	return []string{
		"campaign plan", "campaign launch", "campaign test", "campaign pause", "campaign resume", "campaign cancel", "campaign retry", "campaign resolve", "campaign cap",
		"channel add", "channel pause", "channel resume", "channel webhook",
		"contact opt-in", "contact opt-out", "contact forget", "list delete", "message resolve",
		"schedule pause", "schedule resume", "schedule delete", "send", "suppress add", "suppress remove", "suppress import", "suppress words set", "suppress words unset", "webhook replay",
	}
}

// note gives an acting command its --reason and carries the text to the audit.
func note(path string, c *cli.Command) {
	if !slices.Contains(acts(), path) || c.Action == nil {
		return
	}
	if !slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), reasonFlag) }) {
		c.Flags = append(c.Flags, &cli.StringFlag{Name: reasonFlag, Usage: "note `TEXT` in the audit"})
	}
	action := c.Action
	c.Action = func(c *cli.Context) error {
		c.Context = postgres.WithReason(c.Context, c.String(reasonFlag))
		return action(c)
	}
}

func auditCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "audit",
		Usage: "find out who did what, when and why",
		Subcommands: []*cli.Command{{
			Name:  "list",
			Usage: "list what people and programs did, the latest first",
			Description: text(
				`Lists every act that changed what is sent: plans, launches, pauses, resumes,
cancels, decisions about messages, channels, opt-outs, suppressions, schedules. Each
was noted together with the act and is never changed. People are counted and not
named; the reason is what --reason said.`,
				examples(`audit list`, `audit list --campaign spring-sale-2026 --json`, `audit list --since 24h`)),
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "campaign", Usage: "only what was done to `CAMPAIGN`, by its number or name"},
				&cli.DurationFlag{Name: "since", Usage: "only what was done in the last `DURATION`"},
				&cli.IntFlag{Name: "limit", Value: 100, Usage: "at most `N`"},
				jsonFlag(),
			},
			Action: p.auditList,
		}},
	}
}

func (p *program) auditList(c *cli.Context) error {
	switch {
	case c.Args().Present():
		return usage("--campaign NAME chooses", "audit list takes no argument: %q", c.Args().First())
	case c.Int("limit") < 1:
		return usage("1 or more", "--limit %d is too small", c.Int("limit"))
	case c.Duration("since") < 0:
		return usage("a duration such as 24h", "--since %v is negative", c.Duration("since"))
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	filter := postgres.AuditFilter{Limit: c.Int("limit")}
	if c.Duration("since") > 0 {
		filter.Since = time.Now().Add(-c.Duration("since"))
	}
	if ref := c.String("campaign"); ref != "" {
		found, err := s.Campaign(c.Context, ref)
		if err != nil {
			return err
		}
		filter.Campaign = found.ID
	}
	found, err := s.Audit(c.Context, filter)
	if err != nil {
		return err
	}
	list := append([]campaign.AuditEntry{}, found...)
	for i := range list {
		list[i].At = list[i].At.UTC()
	}
	return p.result(c, list, func(w io.Writer) error {
		if len(list) == 0 {
			p.note("nothing was done")
			return nil
		}
		t := newTable(w)
		row(t, "AT", "WHO", "WITH", "DID", "TO", "REASON", "PLAN")
		for _, a := range list {
			row(t, when(&a.At), auditWho(a), dash(a.Program), strings.TrimSpace(a.Action+" "+a.Detail), auditObject(a), dash(a.Reason), dash(short(a.PlanHash)))
		}
		return t.Flush()
	})
}

// auditWho is the database's user, and whom the system knew where that is
// somebody else.
func auditWho(a campaign.AuditEntry) string {
	who := a.DatabaseUser
	if a.OSUser != "" && a.OSUser != who {
		who = a.OSUser + " as " + who
	}
	if a.Host != "" {
		who += " on " + a.Host
	}
	return who
}

func auditObject(a campaign.AuditEntry) string {
	parts := []string{a.Object}
	if a.ObjectID != 0 {
		parts = append(parts, fmt.Sprint(a.ObjectID))
	}
	if a.Name != "" {
		parts = append(parts, a.Name)
	}
	if a.Object == "people" {
		parts = []string{count(a.Count), "people"}
	}
	return strings.Join(parts, " ")
}

func short(hash string) string { return hash[:min(len(hash), 12)] }

package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

const aboutUnknown = `A message is unknown when its POST may have reached the provider and no answer
came: a crash, a timeout, a broken connection. Any report about it settles it by
itself. After a grace of 15 minutes in which webhooks flowed and nothing came, a
person decides: --resend posts once more (the person may get it twice), --fail
gives it up (the person may have got it).`

func decisionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "resend", Usage: "post them once more; refused (exit 7) while the grace runs"},
		&cli.BoolFlag{Name: "fail", Usage: "give them up as failed"},
	}
}

func decision(c *cli.Context) (resend bool, err error) {
	if c.Bool("resend") == c.Bool("fail") {
		return false, usage("--resend posts once more, --fail gives up", "give one of them: --resend or --fail")
	}
	return c.Bool("resend"), nil
}

func resolveCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "resolve",
		Usage:     "decide about messages whose fate is unknown",
		ArgsUsage: "CAMPAIGN",
		Description: text(aboutUnknown,
			examples(`campaign resolve spring-sale-2026 --resend`, `campaign resolve 12 --fail --only 1234,1235 --yes`)),
		Flags: append(decisionFlags(),
			&cli.StringFlag{Name: "only", Usage: "decide only about the messages `ID,ID…`"},
			yesFlag(), jsonFlag()),
		Action: p.campaignResolve,
	}
}

func retryCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "retry",
		Usage:     "send failed messages of one error code again",
		ArgsUsage: "CAMPAIGN",
		Description: text(
			`Makes the messages that failed with a code due again, for example after the key
of a channel was renewed. No maximum binds a person, but everything else is
checked again before each is sent: opt-outs, holds, the deadline.`,
			examples(`campaign retry spring-sale-2026 --only 131042`)),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "only", Required: true, Usage: "the error `CODE`, as the report shows it"},
			yesFlag(), jsonFlag(),
		},
		Action: p.campaignRetry,
	}
}

func messageResolveCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:        "resolve",
		Usage:       "decide about single messages whose fate is unknown",
		ArgsUsage:   "ID…",
		Description: text(aboutUnknown, examples(`message resolve 1234 1235 --fail`)),
		Flags:       append(decisionFlags(), jsonFlag()),
		Action:      p.messageResolve,
	}
}

func replayCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "replay",
		Usage: "apply stored webhooks once more",
		Description: text(
			`Marks stored webhooks as not applied; the daemon applies them again, which changes
nothing that was right. Bodies are kept for 14 days.`,
			examples(`webhook replay --since 2h`, `webhook replay --channel sales-eu --since 2026-04-01T00:00:00Z`)),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "since", Required: true, Usage: "those received since a `TIME` (RFC 3339) or this long ago"},
			&cli.StringFlag{Name: "channel", Usage: "only those of the channel `NAME`"},
			jsonFlag(),
		},
		Action: p.webhookReplay,
	}
}

func (p *program) campaignResolve(c *cli.Context) error {
	resend, err := decision(c)
	if err != nil {
		return err
	}
	only, err := messageIDs(strings.FieldsFunc(c.String("only"), func(r rune) bool { return r == ',' || r == ' ' }))
	if err != nil {
		return err
	}
	s, found, closeStore, err := p.campaignOf(c)
	if err != nil {
		return err
	}
	defer closeStore()
	status, err := s.Status(c.Context, found.ID)
	if err != nil {
		return err
	}
	if n := status.Counts[campaign.Unknown]; n > 0 {
		what := map[bool]string{true: "post them once more", false: "give them up"}[resend]
		question := fmt.Sprintf("%s of campaign %d %s %s of unknown fate; %s? Type yes", plural(n, "message"), found.ID, found.Name,
			map[bool]string{true: "is", false: "are"}[n == 1], what)
		if err := p.confirm(c, question, "yes"); err != nil {
			return err
		}
	}
	done, err := s.Resolve(c.Context, found.ID, resend, only)
	if err != nil {
		return err
	}
	return p.resolved(c, done, resend)
}

func (p *program) messageResolve(c *cli.Context) error {
	resend, err := decision(c)
	if err != nil {
		return err
	}
	ids, err := messageIDs(c.Args().Slice())
	if err != nil {
		return err
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	done, err := s.Resolve(c.Context, 0, resend, ids)
	if err != nil {
		return err
	}
	return p.resolved(c, done, resend)
}

func (p *program) resolved(c *cli.Context, done postgres.Resolved, resend bool) error {
	if done.Waiting > 0 && done.Messages == 0 {
		hint := "no webhook has come since the daemon started: are they registered? campaignctl channel webhook NAME"
		if done.Until != nil {
			hint = "it ends at " + when(done.Until)
		}
		return campaign.ErrGuard.With(fmt.Sprintf("the grace of %s still runs: a report may settle them", plural(int64(done.Waiting), "message")), hint)
	}
	done.Until = utc(done.Until)
	return p.result(c, done, func(w io.Writer) error {
		text := map[bool]string{true: "%s will be posted once more\n", false: "%s given up as failed\n"}[resend]
		if _, err := fmt.Fprintf(w, text, plural(int64(done.Messages), "message")); err != nil {
			return err
		}
		if done.Waiting > 0 {
			p.warn("%s left alone, because the grace still runs", plural(int64(done.Waiting), "message"))
		}
		return nil
	})
}

func (p *program) campaignRetry(c *cli.Context) error {
	s, found, closeStore, err := p.campaignOf(c)
	if err != nil {
		return err
	}
	defer closeStore()
	code := c.String("only")
	status, err := s.Status(c.Context, found.ID)
	if err != nil {
		return err
	}
	n := status.Errors[code]
	switch {
	case found.State == campaign.Cancelled:
		return campaign.ErrState.With(fmt.Sprintf("campaign %d is cancelled", found.ID), "nothing of it is sent any more")
	case code == campaign.CodeUnresolved:
		return campaign.ErrGuard.With("messages that were given up may have arrived", "they are not sent again")
	case n == 0:
		return campaign.ErrNotFound.With(fmt.Sprintf("no message of campaign %d failed with %q", found.ID, code), "campaignctl campaign report shows the codes")
	}
	if err := p.confirm(c, fmt.Sprintf("send %s of campaign %d %s again? Type yes", plural(n, "message"), found.ID, found.Name), "yes"); err != nil {
		return err
	}
	retried, err := s.Retry(c.Context, found.ID, code)
	if err != nil {
		return err
	}
	return p.result(c, map[string]any{"messages": retried}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s will be tried again\n", plural(int64(retried), "message"))
		return err
	})
}

func (p *program) webhookReplay(c *cli.Context) error {
	since, err := sinceOf(c.String("since"), time.Now())
	if err != nil {
		return err
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	var channel campaign.ChannelID
	if name := c.String("channel"); name != "" {
		found, err := s.Channel(c.Context, name)
		if err != nil {
			return err
		}
		channel = found.ID
	}
	n, err := s.Replay(c.Context, channel, since)
	if err != nil {
		return err
	}
	return p.result(c, map[string]any{"webhooks": n}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s will be applied once more by the daemon\n", plural(n, "webhook"))
		return err
	})
}

func sinceOf(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, usage("as in --since 2h or --since 2026-04-01T09:00:00Z", "--since %q is neither a time nor a duration", s)
	}
	return at, nil
}

func messageIDs(words []string) ([]campaign.MessageID, error) {
	ids := make([]campaign.MessageID, 0, len(words))
	for _, word := range words {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil || n <= 0 {
			return nil, usage("as exports and \"message list\" have it", "%q is not the number of a message", word)
		}
		ids = append(ids, campaign.MessageID(n))
	}
	return ids, nil
}

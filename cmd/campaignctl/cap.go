package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
)

func capCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "cap",
		Usage:     "bound how much marketing one person gets, over all campaigns",
		ArgsUsage: "[MESSAGES/TIME]",
		Description: text(
			`Shows the installation's frequency cap, or sets it: no person gets more than so many
marketing messages in any stretch of that time, whichever campaign or service sends
them, over all channels and under every form of the number. Counted is what was
handed to WhatsApp and may have arrived. It is checked when a campaign is planned
and again before every message, and binds from the moment the command returns.`,
			`What is one too many is skipped (frequency_cap), or with --then defer waits until
there is room. A campaign file may have a cap of its own beside it (frequency_cap),
which says what becomes of its messages. What waits when the cap is changed or
removed gets its new time, and is not skipped by that.`,
			examples(`campaign cap`, `campaign cap 2/7d`, `campaign cap 1/24h --then defer`, `campaign cap --none`)),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "then", Value: campaign.CapSkip, Usage: "what becomes of a message too many: `skip|defer`"},
			&cli.BoolFlag{Name: "none", Usage: "remove the cap"},
			jsonFlag(),
		},
		Action: p.campaignCap,
	}
}

// shownCap is the cap as --json prints it; nil is none.
type shownCap struct {
	FrequencyCap *jsonCap `json:"frequency_cap"`
}

type jsonCap struct {
	Messages int    `json:"messages"`
	Per      string `json:"per"`
	Then     string `json:"then"`
}

func (p *program) campaignCap(c *cli.Context) error {
	var wanted *campaign.FrequencyCap
	text := c.Args().First()
	switch {
	case c.Bool("none") && text != "":
		return usage("give one of them", "--none and %q are both given", text)
	case c.IsSet("then") && text == "":
		return usage("campaignctl campaign cap 2/7d --then defer", "--then goes with a cap")
	case c.String("then") != campaign.CapSkip && c.String("then") != campaign.CapDefer:
		return usage("skip or defer", "--then %q is not known", c.String("then"))
	case text != "":
		limit, err := audience.ParseFrequencyCap(text)
		if err != nil {
			return usage("", "%s", err)
		}
		limit.Then = c.String("then")
		wanted = &limit
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	if wanted != nil || c.Bool("none") {
		if err := s.SetFrequencyCap(c.Context, wanted); err != nil {
			return err
		}
	} else if wanted, err = s.FrequencyCap(c.Context); err != nil {
		return err
	}
	var shown shownCap
	if wanted != nil {
		shown.FrequencyCap = &jsonCap{wanted.Messages, days(wanted.Per), wanted.Then}
	}
	return p.result(c, shown, func(w io.Writer) error {
		if wanted == nil {
			_, err := fmt.Fprintln(w, "there is no frequency cap")
			return err
		}
		then := "the rest is skipped"
		if wanted.Then == campaign.CapDefer {
			then = "the rest waits"
		}
		_, err := fmt.Fprintf(w, "at most %s per person in %s; %s\n", plural(int64(wanted.Messages), "marketing message"), days(wanted.Per), then)
		return err
	})
}

// days writes a duration in days where it is whole ones: 7d.
func days(d time.Duration) string {
	if day := 24 * time.Hour; d%day == 0 && d > 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return span(d)
}

// windowText says what messages wait for whose window is closed: the hour on
// their people's clock.
func windowText(w campaign.Waiting) string {
	switch {
	case len(w.Zones) == 0:
		return "for a sending window, of people whose time zone is not known"
	case w.Until == nil:
		return "for a sending window that never opens in " + zonesText(w.Zones)
	case len(w.Zones) == 1:
		if zone, err := time.LoadLocation(w.Zones[0]); err == nil {
			return "for " + w.Until.In(zone).Format("15:04") + " in " + w.Zones[0]
		}
	}
	return "for the hours that are open in all of " + zonesText(w.Zones)
}

func zonesText(zones []string) string {
	if len(zones) <= 3 {
		return strings.Join(zones, ", ")
	}
	return fmt.Sprintf("%s and %d more time zones", strings.Join(zones[:2], ", "), len(zones)-2)
}

// windowsShown is how many zones a status names.
const windowsShown = 15

// shortWindows keeps the zones of a status readable: those that open first, and
// the others summed up in a line of their own.
func shortWindows(waiting []campaign.Waiting) (shown []campaign.Waiting, more int, messages int64) {
	named := 0
	for _, w := range waiting {
		if w.Reason == campaign.ReasonWindow {
			if named++; named > windowsShown {
				more, messages = more+1, messages+w.Messages
				continue
			}
		}
		shown = append(shown, w)
	}
	return shown, more, messages
}

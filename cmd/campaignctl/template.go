package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
)

func templateCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "template",
		Usage: "fetch and check message templates",
		Description: `Templates are written and approved at the provider; campaignd keeps a copy, and
checks every recipient's parameters against it before anything is sent.`,
		Subcommands: []*cli.Command{
			{
				Name:      "sync",
				Usage:     "fetch the templates from the provider",
				ArgsUsage: "[CHANNEL]",
				Description: text(
					`Makes the stored templates of CHANNEL, or of every channel, what the provider
lists. Where the slots of a template changed while a campaign uses it, that
campaign is held until somebody has looked; so is one whose template is no longer
approved.`,
					examples(`template sync`, `template sync sales-eu --json`)),
				Flags:  []cli.Flag{jsonFlag()},
				Action: p.templateSync,
			},
			{
				Name:  "list",
				Usage: "list the fetched templates",
				Description: text(`Lists the templates as they were fetched last. Only approved ones are sent.`,
					examples(`template list`, `template list --channel sales-eu --json`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "channel", Usage: "only those of the channel `NAME`"},
					&cli.BoolFlag{Name: "deleted", Usage: "also those that the provider no longer lists"},
					jsonFlag(),
				},
				Action: p.templateList,
			},
			{
				Name:      "show",
				Usage:     "show a template in all its languages",
				ArgsUsage: "NAME",
				Description: text(
					`Shows the text of a template, its slots as a campaign file names them, and what is
wrong with it.`,
					examples(`template show spring_sale`, `template show spring_sale --channel sales-eu --language en_US`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "channel", Usage: "only on the channel `NAME`"},
					&cli.StringFlag{Name: "language", Usage: "only in this `LANGUAGE`, such as en_US"},
					jsonFlag(),
				},
				Action: p.templateShow,
			},
			{
				Name:      "check",
				Usage:     "check templates in a file and list their slots",
				ArgsUsage: "FILE|-",
				Description: text(
					`Reads a template as it is sent to the provider to be created, as it is listed, or
a whole list in either shape, and shows the slots that a campaign fills and what
is wrong. Kinds that cannot be sent yet are "not sendable". Needs no database.`,
					`Exit codes: 0 when there is nothing to complain about, 6 when a template has
problems.`,
					examples(`template check promo.json`, `template check - --json < templates.json`)),
				Flags:  []cli.Flag{jsonFlag()},
				Action: p.templateCheck,
			},
		},
	}
}

func (p *program) templateCheck(c *cli.Context) error {
	file := c.Args().First()
	data, err := p.read(file)
	if err != nil {
		return err
	}
	templates, err := dialog360.ParseTemplates(data)
	if err != nil {
		return fmt.Errorf("%s: %w", label(file), err)
	}
	list := make([]campaign.TemplateSummary, len(templates))
	problems := 0
	for i := range templates {
		list[i] = templates[i].Summary()
		if len(list[i].Problems) > 0 {
			problems++
		}
	}
	err = p.result(c, list, func(w io.Writer) error {
		for i, t := range list {
			if i > 0 {
				fmt.Fprintln(w)
			}
			printTemplate(w, t)
		}
		return nil
	})
	if err != nil || problems == 0 {
		return err
	}
	return findings("%s of %d has problems", plural(int64(problems), "template"), len(list))
}

// printTemplate shows a template as the author of a campaign file needs it.
func printTemplate(w io.Writer, t campaign.TemplateSummary) {
	fmt.Fprintf(w, "%s (%s): %s, %s", dash(t.Name), dash(t.Language), strings.ToLower(dash(t.Category)), strings.ToLower(dash(t.Format)))
	if !t.Sendable {
		fmt.Fprint(w, ", not sendable by this version")
	}
	fmt.Fprintln(w)
	table := newTable(w)
	for _, s := range t.Slots {
		need := "optional"
		if s.Required {
			need = "required"
		}
		row(table, "  "+s.Key, s.Kind, need)
	}
	table.Flush()
	for _, problem := range t.Problems {
		fmt.Fprintln(w, "  problem:", oneLine(problem))
	}
}

package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
)

func webhookCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "webhook",
		Usage: "read what the provider reports",
		Subcommands: []*cli.Command{
			{
				Name:      "inspect",
				Usage:     "show the events in stored webhook bodies",
				ArgsUsage: "[FILE…]",
				Description: text(
					`Reads webhook bodies, one a FILE, and shows the events that campaignd would see
in each. Without FILE, or for "-", standard input is read. Nothing is stored and
no database is needed. Unknown fields and kinds are shown as "other"; the only
failure, exit code 1, is a body that is not JSON.`,
					examples(`webhook inspect body.json`, `webhook inspect *.json --json`, `webhook inspect < body.json`)),
				Flags:  []cli.Flag{jsonFlag()},
				Action: p.webhookInspect,
			},
			tailCommand(p),
			replayCommand(p),
		},
	}
}

type inspected struct {
	File   string           `json:"file"`
	Events []campaign.Event `json:"events"`
}

func (p *program) webhookInspect(c *cli.Context) error {
	files := c.Args().Slice()
	if len(files) == 0 {
		if terminal(p.stdin) {
			p.note("reading a webhook body from the terminal, Ctrl-D ends it")
		}
		files = []string{"-"}
	}
	all := make([]inspected, 0, len(files))
	var bad []error
	for _, file := range files {
		body, err := p.read(file)
		if err == nil {
			var events []campaign.Event
			if events, err = dialog360.ParseWebhook(body); err == nil {
				all = append(all, inspected{file, append([]campaign.Event{}, events...)})
				continue
			}
			err = failed("", "%s: %s", label(file), cause(err))
		}
		bad = append(bad, err) // the others are still shown
	}
	err := p.result(c, all, func(w io.Writer) error { return printEvents(w, all) })
	if err != nil || len(bad) == 0 {
		return err
	}
	for _, e := range bad[:len(bad)-1] {
		p.warn("%s", e)
	}
	return bad[len(bad)-1]
}

// cause is the innermost text of an error, where the outer ones repeat what we
// say ourselves.
func cause(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

func printEvents(w io.Writer, all []inspected) error {
	for i, in := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %s\n", label(in.File), plural(int64(len(in.Events)), "event"))
		t := newTable(w)
		for _, e := range in.Events {
			row(t, "  "+string(e.Kind), eventText(e))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// eventText says in a line what an event is about.
func eventText(e campaign.Event) string {
	var s string
	add := func(format string, value string) {
		if value == "" {
			return
		}
		if s != "" {
			s += ", "
		}
		s += fmt.Sprintf(format, value)
	}
	add("%s", e.Status)
	if e.Code != 0 {
		add("code %s", fmt.Sprintf("%d (%s)", e.Code, dialog360.Explain(e.Code).Title))
	}
	add("%s", e.Type)
	add("template %s", e.Template)
	add("language %s", e.Language)
	add("%s", e.Event)
	add("%s", e.Value)
	add("from %s", e.From)
	add("to %s", e.Recipient)
	add("user %s", e.User)
	add("user id %s", e.UserID)
	add("was %s", e.Previous)
	add("is %s", e.New)
	add("limit %s", e.Limit)
	add("reason %s", e.Reason)
	add("field %s", e.Field)
	add("opaque id %s", e.Opaque)
	add("message %s", e.ID)
	add("in answer to %s", e.ContextID)
	add("%q", e.Text)
	if !e.At.IsZero() {
		add("at %s", when(&e.At))
	}
	return s
}

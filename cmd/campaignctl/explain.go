package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
)

func errorCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "error",
		Usage: "explain the provider's error codes",
		Subcommands: []*cli.Command{{
			Name:      "explain",
			Usage:     "say what an error means and what campaignd does about it",
			ArgsUsage: "[CODE]",
			Description: text(
				`Explains a CODE as it stands in reports and webhooks, or with --body the answer
of the provider in any of its shapes. Codes of the former On-Premise API are
mapped to today's. Needs no database.`,
				classes,
				examples(`error explain 131049`, `error explain --body answer.json --http 400`, `error explain --body - --json < answer.json`)),
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "body", Usage: "read the provider's answer from `FILE`, or - for standard input"},
				&cli.IntFlag{Name: "http", Usage: "the HTTP `STATUS` of that answer; some answers cannot be told apart without it"},
				jsonFlag(),
			},
			Action: p.errorExplain,
		}, {
			Name:        "list",
			Usage:       "list every code of the catalogue",
			Description: text(`Lists the codes that campaignd knows. Needs no database.`, classes, examples(`error list`, `error list --json`)),
			Flags:       []cli.Flag{jsonFlag()},
			Action:      p.errorList,
		}},
	}
}

const classes = `The class says what happens to the message: "final" fails it, "retry" tries it
again later, "slow_down" halves the channel's rate, and "pause_template",
"pause_channel" and "pause_account" stop sending on that scope until the cause
is gone. "operator" means that a person has to act.`

func (p *program) errorExplain(c *cli.Context) error {
	code, body := c.Args().First(), c.String("body")
	if (code == "") == (body == "") {
		return usage("see: campaignctl error explain --help", "give either a code or --body FILE")
	}
	if code != "" && c.IsSet("http") {
		return usage("the status belongs to an answer: --body FILE --http N", "--http goes with --body")
	}
	failure, err := p.explained(code, body, c.Int("http"))
	if err != nil {
		return err
	}
	shown := failure
	if _, err := strconv.Atoi(failure.Code); body != "" && err != nil {
		shown.Code = "" // a word of ours: the body has no code
	}
	return p.result(c, dialog360.Explanation(shown), func(w io.Writer) error {
		if failure.Class == "" {
			_, err := fmt.Fprintln(w, failure.Title)
			return err
		}
		printFailure(w, failure)
		return nil
	})
}

func (p *program) explained(code, body string, http int) (campaign.Failure, error) {
	if body == "" {
		return explainCode(code)
	}
	if http != 0 && (http < 100 || http > 599) {
		return campaign.Failure{}, usage("from 100 to 599", "--http %d is no HTTP status", http)
	}
	data, err := p.read(body)
	if err != nil {
		return campaign.Failure{}, err
	}
	failure, recognised := dialog360.ExplainHTTP(http, data)
	if failure.Code == "" && failure.Class == "" {
		return campaign.Failure{Title: "no error: the answer to a message that was accepted", HTTP: http}, nil
	}
	if !recognised {
		p.note("%s is no error body of the provider's; the status alone decides", label(body))
	}
	return failure, nil
}

// explainCode takes a number, or the name of a row without one: http_504.
func explainCode(code string) (campaign.Failure, error) {
	if n, err := strconv.Atoi(code); err == nil && n >= 0 {
		return dialog360.Explain(n), nil
	}
	for _, f := range dialog360.Catalogue() {
		if f.Code == code {
			return f, nil
		}
	}
	if status, ok := strings.CutPrefix(code, "http_"); ok {
		if n, err := strconv.Atoi(status); err == nil {
			f, _ := dialog360.ExplainHTTP(n, nil)
			return f, nil
		}
	}
	return campaign.Failure{}, usage("list them: campaignctl error list", "%q is not an error code", code)
}

func (p *program) errorList(c *cli.Context) error {
	catalogue := dialog360.Catalogue()
	list := make([]dialog360.Explanation, len(catalogue))
	for i, f := range catalogue {
		list[i] = dialog360.Explanation(f)
	}
	return p.result(c, list, func(w io.Writer) error {
		t := newTable(w)
		row(t, "CODE", "CLASS", "SCOPE", "ACT", "TITLE")
		for _, f := range catalogue {
			title := f.Title
			if f.MapsTo != "" {
				title += " (now " + f.MapsTo + ")"
			}
			row(t, f.Code, f.Class, f.Scope, map[bool]string{true: "yes", false: "no"}[f.Operator], title)
		}
		return t.Flush()
	})
}

func printFailure(w io.Writer, f campaign.Failure) {
	t := newTable(w)
	defer t.Flush()
	code := dash(f.Code)
	if f.MapsTo != "" {
		code += " (the former form of " + f.MapsTo + ")"
	}
	row(t, "code", code)
	row(t, "title", f.Title)
	row(t, "class", f.Class)
	row(t, "scope", f.Scope)
	row(t, "person must act", map[bool]string{true: "yes", false: "no"}[f.Operator])
	if f.HTTP != 0 {
		row(t, "http", f.HTTP)
	}
	row(t, "advice", f.Advice)
	if f.Details != "" {
		row(t, "the provider said", f.Details)
	}
	if f.Deferrable() && f.Retry.First > 0 {
		again := "after " + span(f.Retry.First)
		if f.Retry.Factor > 1 {
			again += fmt.Sprintf(", each gap %g times the one before", f.Retry.Factor)
		}
		if f.Retry.Attempts > 0 {
			again += fmt.Sprintf(", %d sends in all", f.Retry.Attempts)
		}
		row(t, "tried again", again)
	}
}

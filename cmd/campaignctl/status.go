package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

// watchEvery is how often watch looks: the counters are folded every second.
const watchEvery = time.Second

func (p *program) campaignList(c *cli.Context) error {
	state := campaign.State(c.String("state"))
	if state != "" && !slices.Contains(campaign.States[:], state) {
		return usage("one of draft, scheduled, running, paused, completed, cancelled", "--state %q is not known", state)
	}
	if c.Int("limit") < 1 {
		return usage("1 or more", "--limit %d is too small", c.Int("limit"))
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	found, err := s.Campaigns(c.Context, postgres.CampaignFilter{State: state, Channel: c.String("channel"), Limit: c.Int("limit")})
	if err != nil {
		return err
	}
	return p.result(c, append([]campaign.Summary{}, found...), func(w io.Writer) error {
		if len(found) == 0 {
			p.note("there are no such campaigns")
			return nil
		}
		t := newTable(w)
		row(t, "ID", "NAME", "KEY", "CHANNEL", "STATE", "TOTAL", "SKIPPED", "WAITING", "DELIVERED", "READ", "FAILED", "UNKNOWN", "STARTED")
		for _, f := range found {
			funnel := campaign.FunnelOf(campaign.Status{Total: f.Total, Counts: f.Counts})
			row(t, f.ID, f.Name, dash(f.Key), f.Channel, f.State, count(f.Total), count(funnel.Skipped), count(funnel.Waiting),
				count(funnel.Delivered), count(funnel.Read), count(funnel.Failed), count(funnel.Unknown), when(f.StartedAt))
		}
		return t.Flush()
	})
}

func (p *program) campaignStatus(c *cli.Context) error {
	s, found, closeStore, err := p.campaignOf(c)
	if err != nil {
		return err
	}
	defer closeStore()
	status, err := s.Status(c.Context, found.ID)
	if err != nil {
		return err
	}
	return p.result(c, inUTC(status), func(w io.Writer) error { return printStatus(w, status) })
}

// inUTC gives a status as --json prints it.
func inUTC(s campaign.Status) campaign.Status {
	s.StartedAt, s.FinishedAt = utc(s.StartedAt), utc(s.FinishedAt)
	s.Holds, s.Waiting = slices.Clone(s.Holds), append([]campaign.Waiting{}, s.Waiting...)
	for i := range s.Holds {
		s.Holds[i].Until = utc(s.Holds[i].Until)
	}
	for i := range s.Waiting {
		s.Waiting[i].Until = utc(s.Waiting[i].Until)
	}
	return s
}

// stateTexts say in a few words what a state means (design §3).
var stateTexts = map[campaign.MessageState]string{
	campaign.Skipped:          "will not be sent",
	campaign.Pending:          "waiting for time or turn",
	campaign.Queued:           "next in turn",
	campaign.Sending:          "being handed to the provider",
	campaign.Unknown:          "may have been handed over, no answer came",
	campaign.Accepted:         "taken by the provider",
	campaign.Held:             "taken, held back by the provider",
	campaign.Sent:             "on the way",
	campaign.Delivered:        "arrived",
	campaign.Read:             "arrived and were read",
	campaign.Deferred:         "will be tried again",
	campaign.Failed:           "failed for good",
	campaign.MessageCancelled: "cancelled before sending",
}

func printStatus(w io.Writer, s campaign.Status) error {
	fmt.Fprintf(w, "campaign %d %s", s.ID, s.Name)
	if s.Key != "" {
		fmt.Fprintf(w, " (key %s)", s.Key)
	}
	fmt.Fprintf(w, ": %s\n", paint(w, campaignColors[s.State], string(s.State)))
	if s.StartedAt != nil {
		fmt.Fprintf(w, "started %s", when(s.StartedAt))
		if s.FinishedAt != nil {
			fmt.Fprintf(w, ", finished %s (%s)", when(s.FinishedAt), span(s.FinishedAt.Sub(*s.StartedAt).Round(time.Second)))
		}
		fmt.Fprintln(w)
	}
	if s.State == campaign.Running {
		fmt.Fprintf(w, "sending %s/s now, at most %s\n", strconv.FormatFloat(s.Rate.Now, 'f', 1, 64), rate(s.Rate.Limit))
	}
	fmt.Fprintln(w)
	if err := printCounts(w, s); err != nil {
		return err
	}
	if err := printReasons(w, "skipped, because:", s.Skipped, skipText); err != nil {
		return err
	}
	if err := printErrors(w, s.Errors); err != nil {
		return err
	}
	if err := printInbound(w, s.Inbound); err != nil {
		return err
	}
	if over(s) {
		// What held it does not matter any more, but why it was never planned.
		for _, h := range s.Holds {
			fmt.Fprintf(w, "\ncancelled, because %s\n", oneLine(h.Reason))
		}
		return nil
	}
	if err := printHolds(w, s.Holds, campaignRef(s), s.Channel); err != nil {
		return err
	}
	return printWaiting(w, s)
}

// printCounts shows the states that somebody is in; what is not shown is zero.
func printCounts(w io.Writer, s campaign.Status) error {
	var table strings.Builder
	t := newTable(&table)
	var colors []string
	for _, state := range campaign.MessageStates {
		if n := s.Counts[state]; n > 0 {
			row(t, "  "+string(state), right(count(n), 11), share(n, s.Total), stateTexts[state])
			colors = append(colors, stateColors[state])
		}
	}
	row(t, "  total", right(count(s.Total), 11))
	if err := t.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(table.String()) {
		color := ""
		if len(colors) > 0 {
			color, colors = colors[0], colors[1:]
		}
		fmt.Fprintln(w, paint(w, color, strings.TrimSuffix(line, "\n")))
	}
	return nil
}

var campaignColors = map[campaign.State]string{
	campaign.Running: green, campaign.Completed: green, campaign.Paused: yellow, campaign.Cancelled: red,
}

// stateColors point to what went well, what needs a look, and what failed.
var stateColors = map[campaign.MessageState]string{
	campaign.Delivered: green, campaign.Read: green,
	campaign.Unknown: yellow, campaign.Held: yellow, campaign.Deferred: yellow,
	campaign.Failed: red,
}

func right(s string, width int) string { return fmt.Sprintf("%*s", width, s) }

func share(n, total int64) string {
	if total == 0 {
		return ""
	}
	return fmt.Sprintf("%5.1f %%", 100*float64(n)/float64(total))
}

// printReasons lists counts by their size.
func printReasons(w io.Writer, title string, counts map[string]int64, explain func(string) string) error {
	if len(counts) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\n"+title)
	t := newTable(w)
	for _, reason := range bySize(counts) {
		row(t, "  "+reason, right(count(counts[reason]), 11), explain(reason))
	}
	return t.Flush()
}

func bySize(counts map[string]int64) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}

var skipTexts = map[string]string{
	campaign.ReasonUSMarketing:    "Meta does not deliver marketing to US numbers",
	campaign.ReasonOptedOut:       "the person wants no marketing",
	campaign.ReasonSuppressed:     "the person is on the suppression list",
	campaign.ReasonNotOptedIn:     "the person never agreed",
	campaign.ReasonInvalidNumber:  "the number cannot have WhatsApp",
	campaign.ReasonDuplicate:      "the same person is on the list twice",
	campaign.ReasonBadParameters:  "the parameters break a rule of the template",
	campaign.ReasonCountryBlocked: "the country is not allowed",
	campaign.ReasonFrequencyCap:   "the person got enough lately",
	campaign.ReasonExpired:        "the deadline passed first",
	campaign.ReasonNoWindow:       "no sending window was left",
}

func skipText(reason string) string { return skipTexts[reason] }

// printErrors lists error codes with what they mean and what to do about them.
func printErrors(w io.Writer, counts map[string]int64) error {
	if len(counts) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nfailed, because:")
	for _, code := range bySize(counts) {
		title, advice := explainStored(code)
		fmt.Fprintf(w, "  %s  %s  %s\n", right(count(counts[code]), 11), code, title)
		if advice != "" {
			fmt.Fprintf(w, "  %s  %s\n", strings.Repeat(" ", 11), advice)
		}
	}
	return nil
}

// explainStored gives title and advice of an error code as messages keep it.
func explainStored(code string) (title, advice string) {
	switch code {
	case campaign.CodeUnresolved:
		return "no answer came", "Whether the message arrived is not known; it was declared failed."
	case "unbuildable", "bad_parameters":
		return "the message cannot be built from its parameters", "Look at the parameters with campaignctl message show, and plan again."
	case "":
		return "no reason was given", ""
	}
	f, err := explainCode(code)
	if err != nil {
		return "unknown", ""
	}
	return f.Title, f.Advice
}

func printWaiting(w io.Writer, s campaign.Status) error {
	if len(s.Waiting) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nwaiting:")
	t := newTable(w)
	held := s.Counts[campaign.Pending] + s.Counts[campaign.Queued] + s.Counts[campaign.Deferred]
	waiting, more, others := shortWindows(s.Waiting)
	held -= others
	for _, x := range waiting {
		if slices.ContainsFunc(s.Holds, func(h campaign.Hold) bool { return h.Reason == x.Reason }) {
			continue // every hold stands for all that wait: they are counted once, below
		}
		held -= x.Messages
		until := ""
		if x.Until != nil {
			until = "until " + when(x.Until)
		}
		what := waitText(x.Reason)
		if x.Reason == campaign.ReasonWindow {
			what = windowText(x)
		}
		row(t, "  "+right(count(x.Messages), 11), what, until)
	}
	if more > 0 {
		row(t, "  "+right(count(others), 11), fmt.Sprintf("for their hour in %d other places; --json names them all", more))
	}
	if len(s.Holds) > 0 && held > 0 {
		row(t, "  "+right(count(held), 11), "for what holds them, above")
	}
	return t.Flush()
}

func waitText(reason string) string {
	switch reason {
	case campaign.WaitPlan:
		return "for a daemon that plans and starts it"
	case campaign.WaitLaunch:
		return "for the launch: campaignctl campaign launch"
	case campaign.WaitSchedule:
		return "for the scheduled start"
	case campaign.WaitPaced:
		return "WhatsApp assesses the template's quality: at 1/s until a held message is released"
	case campaign.WaitTurn:
		return "for their turn at the sending rate"
	case campaign.ReasonRetry:
		return "to be tried again after an error that may pass"
	case campaign.ReasonUnreachable:
		return "because the provider could not be reached"
	case campaign.ReasonResend:
		return "to be sent again, no answer came to the first"
	case campaign.ReasonReleased:
		return "to be sent again, the last turn was given back"
	case campaign.ReasonServiceWindow:
		return "to be tried once more, the person wrote to us"
	case campaign.ReasonRest:
		return "because the person got enough marketing for now"
	case campaign.ReasonFrequencyCap:
		return "until the frequency cap leaves room for them"
	}
	return reason // the reason of a hold, written for people
}

// campaignRef names a campaign in a command that somebody may copy: the name
// alone may belong to several.
func campaignRef(s campaign.Status) string { return strconv.FormatInt(int64(s.ID), 10) }

func (p *program) campaignWatch(c *cli.Context) error {
	every := c.Duration("interval")
	if every < 100*time.Millisecond {
		return usage("100ms or more", "--interval %s is too short", every)
	}
	s, found, closeStore, err := p.campaignOf(c)
	if err != nil {
		return err
	}
	defer closeStore()
	show := p.watcher(c)
	for {
		status, err := s.Status(c.Context, found.ID)
		if err == nil {
			err = show(status)
		}
		switch {
		case c.Context.Err() != nil:
			return nil // Ctrl-C ends watching
		case err != nil:
			return err
		case over(status):
			return nil
		}
		select {
		case <-c.Context.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// over reports whether a campaign has come to its end.
func over(s campaign.Status) bool {
	return s.State == campaign.Completed || s.State == campaign.Cancelled
}

// watcher gives what shows one status after the other: a picture that changes on
// a terminal, lines elsewhere.
func (p *program) watcher(c *cli.Context) func(campaign.Status) error {
	switch {
	case c.Bool("json"):
		return func(s campaign.Status) error { return printJSONLine(p.stdout, inUTC(s)) }
	case terminal(p.stdout):
		return func(s campaign.Status) error {
			picture := newPage(p.out(), color(p.stdout))
			fmt.Fprint(picture, "\x1b[H\x1b[2J") // home, clear
			if err := printStatus(picture, s); err != nil {
				return err
			}
			return picture.Flush()
		}
	}
	return func(s campaign.Status) error {
		_, err := fmt.Fprintf(p.out(), "%s %s\n", time.Now().Format(time.TimeOnly), progressLine(s))
		return err
	}
}

// progressLine is a status in a line.
func progressLine(s campaign.Status) string {
	f := campaign.FunnelOf(s)
	line := fmt.Sprintf("%s: %s of %s handed over", s.State, count(f.Eligible-f.Waiting-f.Cancelled-f.Unknown), count(f.Eligible))
	for _, part := range []struct {
		n    int64
		what string
	}{{f.Delivered, "delivered"}, {f.Read, "read"}, {s.Counts[campaign.Held], "held"}, {f.Failed, "failed"}, {f.Unknown, "unknown"}, {s.Counts[campaign.Deferred], "to be tried again"}} {
		if part.n > 0 {
			line += fmt.Sprintf(", %s %s", count(part.n), part.what)
		}
	}
	if s.Rate.Now > 0 {
		line += fmt.Sprintf(", %.0f/s", s.Rate.Now)
	}
	if s.Paced && !over(s) {
		line += "; slowed to 1/s while WhatsApp assesses the template"
	}
	if len(s.Holds) > 0 {
		line += "; held: " + oneLine(s.Holds[0].Reason)
	}
	return line
}

func (p *program) campaignVerify(c *cli.Context) error {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	var id campaign.ID
	if c.NArg() > 0 {
		found, err := s.Campaign(c.Context, c.Args().First())
		if err != nil {
			return err
		}
		id = found.ID
	}
	var ledger []campaign.LedgerEntry
	if c.IsSet("ledger") {
		if ledger, err = readLedger(c.String("ledger")); err != nil {
			return err
		}
	}
	found, err := s.Verify(c.Context, id, ledger)
	if err != nil {
		return err
	}
	value := verified{OK: len(found) == 0, Findings: append([]campaign.Finding{}, found...)}
	err = p.result(c, value, func(w io.Writer) error {
		if value.OK {
			fmt.Fprintln(w, "everything adds up")
		}
		for _, f := range found {
			line := fmt.Sprintf("%s: %s (%s)", f.Check, f.Message, count(f.Count))
			if f.CampaignID != 0 {
				line = fmt.Sprintf("campaign %d: %s", f.CampaignID, line)
			}
			if len(f.Examples) > 0 {
				line += ", for example messages " + strings.Trim(fmt.Sprint(f.Examples), "[]")
			}
			fmt.Fprintln(w, oneLine(line))
		}
		return nil
	})
	if err == nil && !value.OK {
		return findings("%s", plural(int64(len(found)), "finding"))
	}
	return err
}

type verified struct {
	OK       bool               `json:"ok"`
	Findings []campaign.Finding `json:"findings"`
}

func (p *program) campaignReport(c *cli.Context) error {
	s, found, closeStore, err := p.campaignOf(c)
	if err != nil {
		return err
	}
	defer closeStore()
	report, err := s.Report(c.Context, found.ID)
	if err != nil {
		return err
	}
	report.Status, report.CreatedAt = inUTC(report.Status), report.CreatedAt.UTC()
	for i := range report.Codes {
		report.Codes[i].Title, report.Codes[i].Advice = explainStored(report.Codes[i].Code)
	}
	return p.result(c, report, func(w io.Writer) error { return printReport(w, report) })
}

func printReport(w io.Writer, r campaign.Results) error {
	fmt.Fprintf(w, "campaign %d %s", r.ID, r.Name)
	if r.Key != "" {
		fmt.Fprintf(w, " (key %s)", r.Key)
	}
	fmt.Fprintf(w, ": %s\n", r.State)
	fmt.Fprintf(w, "template %s on channel %s\n", r.Template, r.Channel)
	if r.StartedAt != nil {
		fmt.Fprintf(w, "started %s", when(r.StartedAt))
		if r.FinishedAt != nil {
			fmt.Fprintf(w, ", finished %s (%s)", when(r.FinishedAt), span(r.FinishedAt.Sub(*r.StartedAt).Round(time.Second)))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	f := r.Funnel
	t := newTable(w)
	step := func(what string, n, of int64, text string) {
		row(t, "  "+what, right(count(n), 11), share(n, of), text)
	}
	step("recipients", f.Total, 0, "")
	step("skipped", f.Skipped, f.Total, "")
	step("eligible", f.Eligible, f.Total, "")
	step("taken by WhatsApp", f.Posted, f.Eligible, "of the eligible")
	step("sent", f.Sent, f.Eligible, "")
	step("delivered", f.Delivered, f.Eligible, "")
	step("read", f.Read, f.Eligible, "")
	step("failed", f.Failed, f.Eligible, "")
	for _, extra := range []struct {
		what string
		n    int64
		text string
	}{{"unknown", f.Unknown, "may have been handed over, no answer came"}, {"waiting", f.Waiting, ""}, {"cancelled", f.Cancelled, ""}} {
		if extra.n > 0 {
			step(extra.what, extra.n, f.Eligible, extra.text)
		}
	}
	row(t, "  replies", right(count(r.Replies), 11), "", "from "+people(r.Repliers))
	if err := t.Flush(); err != nil {
		return err
	}
	if err := printReasons(w, "skipped, because:", r.Skipped, skipText); err != nil {
		return err
	}
	if err := printErrors(w, r.Errors); err != nil {
		return err
	}
	if len(r.Inbound.Buttons) > 0 {
		if err := printInbound(w, r.Inbound); err != nil {
			return err
		}
	}
	if over(r.Status) {
		return nil
	}
	if err := printHolds(w, r.Holds, campaignRef(r.Status), r.Channel); err != nil {
		return err
	}
	return printWaiting(w, r.Status)
}

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
	"github.com/campaignd/campaignd/internal/phone"
	"github.com/campaignd/campaignd/internal/postgres"
)

// claimLife is how long a claim is good for (design §4.4).
const claimLife = 10 * time.Second

func sendCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "send",
		Usage: "send one message at once, for a test or a script",
		Description: text(
			`Sends a template to one person and prints what the provider answered. The call is
made from here, with the channel's key resolved here; the message is recorded, so
that its webhooks are understood and "message show" tells what became of it.`,
			`Holds, opt-outs and the pause of US marketing count here, too (exit code 7): then
the message is not sent, also not later. What the provider refuses is exit code 1;
so is a lost answer: look at the message before sending again.`,
			examples(
				`send --channel sales-eu --template welcome --language en_US \
              --to +491701234567 -p body.1=Ann`,
				`send --channel sales-eu --template promo --language de \
              --to +491701234567 -p header=image:file:banner.jpg --dry-run`)),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "channel", Required: true, Usage: "send on the channel `NAME`"},
			&cli.StringFlag{Name: "template", Required: true, Usage: "send the template `NAME`"},
			&cli.StringFlag{Name: "language", Required: true, Usage: "in this `LANGUAGE`, such as en_US"},
			&cli.StringFlag{Name: "to", Required: true, Usage: "to this `NUMBER`"},
			countryFlag(),
			&cli.StringSliceFlag{Name: "parameter", Aliases: []string{"p"}, Usage: "`SLOT=VALUE`; may be repeated"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print the body of the request and send nothing"},
			jsonFlag(),
		},
		Action: p.sendOne,
	}
}

func (p *program) sendOne(c *cli.Context) error {
	to, err := parseNumber(c, c.String("to"))
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	parameters, err := parseParameters(c.StringSlice("parameter"))
	if err != nil {
		return err
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	ch, err := s.Channel(c.Context, c.String("channel"))
	if err != nil {
		return err
	}
	t, err := s.Template(c.Context, ch.ID, c.String("template"), c.String("language"))
	if err != nil {
		return err
	}
	return p.direct(c, s, ch, &t, to, parameters)
}

// parseParameters reads constants: there is no contact whose columns could fill
// a slot.
func parseParameters(pairs []string) (campaign.Parameters, error) {
	document := make(map[string]any, len(pairs))
	for _, pair := range pairs {
		slot, value, err := parseParameter(pair)
		if err != nil {
			return nil, err
		}
		if _, twice := document[slot]; twice {
			return nil, usage("", "-p gives slot %q twice", slot)
		}
		if asks := columnOf(value); asks != "" {
			return nil, usage("write the value itself", "-p %s takes column %q, and there is no contact to take it from", slot, asks)
		}
		document[slot] = value
	}
	data, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("read the parameters: %w", err)
	}
	parameters := campaign.Parameters{}
	if err := parameters.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("-p: %w", err)
	}
	return parameters, nil
}

func columnOf(value any) string {
	fields, _ := value.(map[string]any)
	for key, v := range fields {
		if name, ok := v.(string); ok && key == "column" {
			return name
		}
		if name := columnOf(v); name != "" {
			return name
		}
	}
	return ""
}

// sentView is what became of a message that was sent at once.
type sentView struct {
	Message    campaign.MessageID     `json:"message"`
	State      campaign.MessageState  `json:"state"`
	Reason     string                 `json:"reason"`
	ProviderID string                 `json:"provider_id"`
	Error      *dialog360.Explanation `json:"error"`
}

// direct checks, records and sends one message, and prints what became of it.
func (p *program) direct(c *cli.Context, s *postgres.Store, ch campaign.Channel, t *campaign.Template, to phone.Number, parameters campaign.Parameters) error {
	if err := usable(t); err != nil {
		return err
	}
	if c.Bool("dry-run") {
		return p.dryRun(ch, t, to, parameters)
	}
	if t.Marketing() && to.USMarketing() {
		return campaign.ErrGuard.With("not sent: "+skipText(campaign.ReasonUSMarketing), "")
	}
	client, err := p.client(ch)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := p.uploadParameters(c.Context, s, client, ch, parameters); err != nil {
		return err
	}
	if err := checkParameters(t, parameters); err != nil {
		return err
	}
	stored, err := json.Marshal(parameters)
	if err != nil {
		return fmt.Errorf("store the parameters: %w", err)
	}
	contact, err := known(c.Context, s, to)
	if err != nil {
		return err
	}
	turn, err := s.Direct(c.Context, ch.ID, t.ID, contact, to.E164, stored)
	if err != nil {
		return err
	}
	// From here on Ctrl-C must not leave a message in doubt.
	ctx := context.WithoutCancel(c.Context)
	answer, err := post(ctx, s, client, turn, t, to, parameters)
	// What was not sent now is not sent later either: whoever hears "not sent" may
	// ask again. It changes nothing where the message is with the provider.
	if undo := s.Withdraw(ctx, turn); undo != nil && err == nil {
		err = fmt.Errorf("%w; it may still be sent within a minute", undo)
	}
	if err != nil {
		return err
	}
	return p.tellAnswer(c, s, turn, answer)
}

// known gives the contact with a number, and makes one of somebody new: an
// opt-out must hold for this message too, and "message list" must find it.
func known(ctx context.Context, s *postgres.Store, to phone.Number) (campaign.ContactID, error) {
	key := phone.MatchKey(to.E164)
	who, err := s.Contact(ctx, to.E164, key)
	if !errors.Is(err, campaign.ErrNotFound) {
		return who.ID, err
	}
	one := func(yield func(campaign.ContactRow, error) bool) {
		yield(campaign.ContactRow{Phone: to.E164, MatchKey: key, Country: to.Country, NANP: to.NANP}, nil)
	}
	if _, err := s.ImportContacts(ctx, postgres.ImportOptions{}, one); err != nil {
		return 0, err
	}
	who, err = s.Contact(ctx, to.E164, key)
	return who.ID, err
}

// usable refuses a template that is not sent, before anything is recorded.
func usable(t *campaign.Template) error {
	name := fmt.Sprintf("template %q (%s)", t.Name, t.Language)
	switch {
	case !t.Sendable:
		return campaign.ErrTemplate.With(name+" cannot be sent by this version: "+strings.Join(t.Problems, "; "), "")
	case t.Status != campaign.TemplateApproved:
		return campaign.ErrTemplate.With(name+" is "+t.Status, "only approved templates are sent; campaignctl template sync asks the provider again")
	}
	return nil
}

func checkParameters(t *campaign.Template, parameters campaign.Parameters) error {
	problems := t.Check(parameters)
	if len(problems) == 0 {
		return nil
	}
	words := make([]string, len(problems))
	for i, problem := range problems {
		words[i] = problem.String()
	}
	return campaign.ErrInvalid.With("the parameters do not fit the template: "+strings.Join(words, "; "),
		"campaignctl template show "+t.Name+" lists the slots")
}

// dryRun prints the body of the request, as one JSON value. A local file is not
// uploaded for it.
func (p *program) dryRun(ch campaign.Channel, t *campaign.Template, to phone.Number, parameters campaign.Parameters) error {
	for _, v := range parameters {
		if v.Media != nil && v.Media.File != "" {
			if _, _, err := readMedium(v.Media); err != nil {
				return err
			}
			v.Media.ID, v.Media.File = "uploaded-when-it-is-sent", ""
		}
	}
	if err := checkParameters(t, parameters); err != nil {
		return err
	}
	body, err := dialog360.AppendMessage(nil, ch.Dialect, &campaign.Request{To: to.E164, Template: t, Parameters: parameters})
	if err != nil {
		return usage("", "%s", err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, body, "", "  "); err != nil {
		return fmt.Errorf("show the request: %w", err)
	}
	_, err = fmt.Fprintln(p.stdout, pretty.String())
	return err
}

// post carries out one turn as the daemon does: claim, POST, outcome. The claim
// comes first, so that whatever happens the message is found by its webhooks and
// never sent a second time.
func post(ctx context.Context, s *postgres.Store, client *dialog360.Client, turn campaign.Turn, t *campaign.Template, to phone.Number, parameters campaign.Parameters) (campaign.Answer, error) {
	rand.Read(turn.Claim[:])
	validity := campaign.NewValidity(time.Now(), claimLife, time.Now)
	claimed, err := s.Claim(ctx, []campaign.Turn{turn})
	if err != nil || !claimed[0].OK {
		return campaign.Answer{}, err
	}
	answer := client.Send(ctx, &campaign.Request{
		To: to.E164, Template: t, Parameters: parameters, Opaque: s.Opaque(turn.Message, turn.Attempt), Validity: validity,
	})
	if err := s.Record(ctx, []campaign.Outcome{{Turn: turn, Answer: answer}}); err != nil {
		return answer, fmt.Errorf("the provider answered %s, and that could not be recorded for message %d: %w", answer.Kind, turn.Message, err)
	}
	return answer, nil
}

// tellAnswer prints what became of a message. The row has the last word: a
// webhook may already have said more than the answer.
func (p *program) tellAnswer(c *cli.Context, s *postgres.Store, turn campaign.Turn, answer campaign.Answer) error {
	m, err := s.Message(context.WithoutCancel(c.Context), turn.Message)
	if err != nil {
		return err
	}
	view := sentView{Message: m.ID, State: m.State, Reason: m.Reason, ProviderID: m.ProviderID}
	if answer.Kind == campaign.AnswerFailed {
		e := dialog360.Explanation(answer.Failure)
		view.Error = &e
	}
	err = p.result(c, view, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "message %d: %s (%s)\n", m.ID, m.State, stateTexts[m.State])
		return err
	})
	if err != nil {
		return err
	}
	look := fmt.Sprintf("campaignctl message show %d", m.ID)
	switch answer.Kind {
	case campaign.AnswerAccepted, campaign.AnswerHeld:
		return nil
	case "":
		holds, err := s.ChannelHolds(context.WithoutCancel(c.Context), turn.Channel)
		if err != nil {
			return err
		}
		return notClaimed(m, holds)
	case campaign.AnswerFailed:
		title := strings.TrimSpace(answer.Failure.Code + " " + answer.Failure.Title)
		if answer.Failure.Details != "" {
			title += ": " + answer.Failure.Details
		}
		return campaign.ErrProvider.With("the provider refused: "+title, answer.Failure.Advice)
	case campaign.AnswerUnreachable:
		return campaign.ErrProvider.With("the provider could not be reached; nothing was sent", "is the channel's base URL right? "+look)
	case campaign.AnswerInDoubt:
		return campaign.ErrProvider.With("the answer was lost: the message may have been sent", "do not send it again before its webhook came: "+look)
	}
	return campaign.ErrProvider.With("nothing was sent: the request was given up", look)
}

// notClaimed says what stood against a message.
func notClaimed(m campaign.MessageInfo, holds []campaign.Hold) error {
	switch m.State {
	case campaign.Skipped:
		hint := ""
		if m.Reason == campaign.ReasonNotOptedIn {
			hint = "when they do: campaignctl contact opt-in NUMBER --source …"
		}
		return campaign.ErrGuard.With("not sent: "+skipText(m.Reason), hint)
	case campaign.MessageCancelled:
		if len(holds) > 0 {
			return campaign.ErrGuard.With("not sent: "+holds[0].Reason, "campaignctl channel show "+m.Channel+" tells what lifts it; then send again")
		}
		return campaign.ErrGuard.With("not sent: template "+m.Template+" is held", "campaignctl template sync "+m.Channel+" asks the provider again")
	}
	return campaign.ErrProvider.With(fmt.Sprintf("a daemon took message %d over: it is %s", m.ID, m.State),
		fmt.Sprintf("do not send it again: campaignctl message show %d", m.ID))
}

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
	"github.com/campaignd/campaignd/internal/phone"
	"github.com/campaignd/campaignd/internal/postgres"
)

// contactView is a person as "contact show --json" prints them: the asked form of
// the number first, then what is known of the person.
type contactView struct {
	ID          campaign.ContactID     `json:"id"`
	Phone       string                 `json:"phone"`
	Country     string                 `json:"country"`
	NANP        string                 `json:"nanp"`
	Language    string                 `json:"language"`
	TimeZone    string                 `json:"time_zone"`
	Attributes  map[string]string      `json:"attributes"`
	OptIn       *bool                  `json:"opt_in"`
	OptInSource string                 `json:"opt_in_source"`
	OptInAt     *time.Time             `json:"opt_in_at"`
	OptedOutAt  *time.Time             `json:"opted_out_at"`
	OptedOutBy  string                 `json:"opted_out_by"`
	RestUntil   *time.Time             `json:"rest_until"`
	UserID      string                 `json:"user_id"`
	CreatedAt   time.Time              `json:"created_at"`
	UpdatedAt   time.Time              `json:"updated_at"`
	Aliases     []string               `json:"aliases"` // other forms of the number that are contacts
	Lists       []string               `json:"lists"`
	Suppression *campaign.Suppression  `json:"suppression"`
	Hidden      bool                   `json:"suppression_hidden"` // the database role may not ask the list
	Skip        skipView               `json:"skip"`
	UsedCap     *usedCap               `json:"frequency_cap"` // the installation's, where it is used up
	Windows     []campaign.OpenWindow  `json:"windows"`
	Replies     int64                  `json:"replies"`
	Messages    []campaign.MessageInfo `json:"messages"` // the newest
}

// skipView says why a campaign would skip the person now; empty: it would not.
type skipView struct {
	Marketing string `json:"marketing"`
	Utility   string `json:"utility"`
}

// usedCap is a frequency cap that leaves no room before a moment.
type usedCap struct {
	jsonCap
	Until time.Time `json:"until"`
}

func contactViewOf(d campaign.Dossier) contactView {
	who := d.Contacts[0]
	view := contactView{
		ID: who.ID, Phone: who.Phone, Country: who.Country, NANP: who.NANP, Language: who.Language, TimeZone: who.TimeZone,
		Attributes: who.Attributes, OptIn: who.OptIn, OptInSource: who.OptInSource, OptInAt: utc(who.OptInAt),
		OptedOutAt: utc(who.OptedOutAt), OptedOutBy: who.OptedOutBy, RestUntil: utc(who.RestUntil), UserID: who.UserID,
		CreatedAt: who.CreatedAt.UTC(), UpdatedAt: who.UpdatedAt.UTC(),
		Aliases: []string{}, Lists: append([]string{}, d.Lists...), Suppression: d.Suppression, Hidden: d.SuppressionHidden,
		Skip: skipView{d.SkipMarketing, d.SkipUtility}, Windows: append([]campaign.OpenWindow{}, d.Windows...), Replies: d.Replies,
		Messages: make([]campaign.MessageInfo, len(d.Messages)),
	}
	if u := d.UsedCap; u != nil {
		view.UsedCap = &usedCap{jsonCap{u.Messages, days(u.Per), u.Then}, u.Until.UTC()}
	}
	if view.Attributes == nil {
		view.Attributes = map[string]string{}
	}
	for _, other := range d.Contacts[1:] {
		view.Aliases = append(view.Aliases, other.Phone)
	}
	if view.Suppression != nil {
		view.Suppression.CreatedAt = view.Suppression.CreatedAt.UTC()
	}
	for i := range view.Windows {
		w := &view.Windows[i]
		w.OpenedAt, w.LastAt, w.Until = w.OpenedAt.UTC(), w.LastAt.UTC(), w.Until.UTC()
	}
	for i, m := range d.Messages {
		view.Messages[i] = messageView(m)
	}
	return view
}

func (p *program) contactShow(c *cli.Context) error {
	number, err := parseNumber(c, c.Args().First())
	if err != nil {
		return err
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	d, err := s.Dossier(c.Context, number.E164, phone.MatchKey(number.E164))
	if err != nil {
		return err
	}
	view := contactViewOf(d)
	return p.result(c, view, func(w io.Writer) error { return printContact(w, view) })
}

func printContact(w io.Writer, v contactView) error {
	t := newTable(w)
	row(t, "phone", v.Phone)
	if len(v.Aliases) > 0 {
		row(t, "also known as", strings.Join(v.Aliases, ", "))
	}
	row(t, "country", dash(v.Country))
	if v.NANP != "" {
		row(t, "+1 group", v.NANP)
	}
	row(t, "language", dash(v.Language))
	row(t, "time zone", dash(v.TimeZone))
	consent := "nothing is known"
	switch {
	case v.OptIn != nil && *v.OptIn:
		consent = "yes, " + when(v.OptInAt) + ", from " + dash(v.OptInSource)
	case v.OptIn != nil:
		consent = "no"
	}
	row(t, "opted in", consent)
	if v.OptedOutAt != nil {
		row(t, "opted out", when(v.OptedOutAt)+", by "+dash(v.OptedOutBy))
	}
	if v.RestUntil != nil && v.RestUntil.After(time.Now()) {
		row(t, "rests until", when(v.RestUntil)+": the provider delivers no more marketing to this person for now")
	}
	if v.Suppression != nil {
		row(t, "suppressed", when(&v.Suppression.CreatedAt)+", "+dash(v.Suppression.Reason))
	}
	if v.Hidden {
		row(t, "suppressed", "hidden from this database role; ask as campaign_operator. What follows leaves the suppressed people out of account")
	}
	row(t, "marketing now", marketingSentence(v))
	row(t, "other messages", skipSentence(v.Skip.Utility))
	for _, x := range v.Windows {
		open := "closed since " + when(&x.Until)
		if x.Open {
			open = "open until " + when(&x.Until)
		}
		row(t, "service window", x.Channel+": "+open)
	}
	row(t, "replies", count(v.Replies))
	row(t, "lists", dash(strings.Join(v.Lists, ", ")))
	row(t, "added", when(&v.CreatedAt))
	row(t, "changed", when(&v.UpdatedAt))
	names := make([]string, 0, len(v.Attributes))
	for name := range v.Attributes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		row(t, "  "+name, v.Attributes[name])
	}
	if err := t.Flush(); err != nil || len(v.Messages) == 0 {
		return err
	}
	fmt.Fprintln(w, "\nthe newest messages:")
	t = newTable(w)
	for _, m := range v.Messages {
		row(t, "  "+fmt.Sprint(m.ID), when(&m.CreatedAt), dash(m.Campaign), m.Template, m.State, dash(m.Reason), dash(m.ErrorCode))
	}
	return t.Flush()
}

// marketingSentence says what would become of a marketing message now, in the
// order in which a claim asks.
func marketingSentence(v contactView) string {
	used := ""
	if u := v.UsedCap; u != nil {
		used = fmt.Sprintf("%s: the frequency cap of %d per %s is used up; again after %s", campaign.ReasonFrequencyCap, u.Messages, u.Per, when(&u.Until))
	}
	switch {
	case v.Skip.Marketing == campaign.ReasonFrequencyCap:
		return "skipped, " + used
	case v.Skip.Marketing != "":
		return skipSentence(v.Skip.Marketing)
	case v.RestUntil != nil && v.RestUntil.After(time.Now()) && (v.UsedCap == nil || v.RestUntil.After(v.UsedCap.Until)):
		return "waits, " + campaign.ReasonRest + ": again after " + when(v.RestUntil) + ", or inside an open service window"
	case used != "":
		return "waits, " + used
	}
	return skipSentence("")
}

func skipSentence(reason string) string {
	if reason == "" {
		return "may be sent"
	}
	return "skipped, " + reason + ": " + skipText(reason)
}

func contactForgetCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "forget",
		Usage:     "erase a person",
		ArgsUsage: "NUMBER",
		Description: text(
			`Erases a person, under every form of the number: from contacts and lists, the
number and the parameters of messages, the provider's ids, replies, and what stored
webhooks say of them. Messages stay as rows that name nobody, so that everything
still adds up; what waits for the person ends, skipped or failed. A keyed hash stays
on the suppression list: a later import of the number is skipped as suppressed, and
webhooks that come later do not bring the person back.`,
			`A number that nobody has is put on the suppression list all the same, with a
warning; "suppress remove" takes it off.`,
			`Files outside the database (lists, exports, backups) are not touched. Asks first;
without a terminal --yes is needed. An interrupted run is simply repeated.`,
			examples(`contact forget +491701234567 --yes`)),
		Flags:  []cli.Flag{countryFlag(), yesFlag(), jsonFlag()},
		Action: p.contactForget,
	}
}

func (p *program) contactForget(c *cli.Context) error {
	number, err := parseNumber(c, c.Args().First())
	if err != nil {
		return err
	}
	if err := p.confirm(c, "erase everything known of "+number.E164+"? It cannot be undone. Type yes", "yes"); err != nil {
		return err
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	done, err := s.Forget(c.Context, postgres.ForgetOptions{
		MatchKey: phone.MatchKey(number.E164), Phones: phone.Forms(number.E164),
		Traces: func(phones, userIDs []string) postgres.Eraser { return dialog360.NewTraces(phones, userIDs) },
	})
	if err != nil {
		return err
	}
	if done == (campaign.Forgotten{}) {
		// Wanted where somebody asks to be left alone before we know them; a mistyped
		// number keeps a stranger away for ever.
		p.warn("nobody with this number was known; it is on the suppression list now, for good: if it was mistyped, campaignctl suppress remove NUMBER takes it off")
	}
	return p.result(c, done, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "erased: %s, %s, %s, %s\n", plural(done.Contacts, "contact"), plural(done.Messages, "message"),
			map[bool]string{true: "1 reply", false: count(done.Replies) + " replies"}[done.Replies == 1], plural(done.Webhooks, "webhook"))
		return err
	})
}

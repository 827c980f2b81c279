package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
	"github.com/campaignd/campaignd/internal/phone"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/secret"
)

func channelCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "channel",
		Usage: "set up the WhatsApp numbers that send",
		Description: `A channel is one WhatsApp number at 360dialog: one API key, one sending rate.
Channels of one WhatsApp business account (WABA) share an account.`,
		Subcommands: []*cli.Command{
			{
				Name:      "add",
				Usage:     "add a number",
				ArgsUsage: "NAME",
				Description: text(
					`Adds a channel. Running daemons take it up within two seconds. The API key and the
webhook secret are never stored: the database holds references, env:NAME for an
environment variable or file:PATH for a file, and every program that makes a call
resolves them itself. A reference that cannot be resolved here is worth a warning,
because the daemon may run elsewhere.`,
					`The provider calls campaignd at /webhooks/NAME; register that address with
"channel webhook".`,
					examples(`channel add sales-eu --phone +4930123456 --base-url https://waba-v2.360dialog.io \
              --key-ref env:D360_KEY --webhook-secret-ref file:/run/secrets/webhook --rate 50`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "phone", Required: true, Usage: "the `NUMBER` that sends, in E.164: +4930123456"},
					&cli.StringFlag{Name: "base-url", Required: true, Usage: "the provider's `URL`; plain http only on this machine"},
					&cli.StringFlag{Name: "key-ref", Required: true, Usage: "where the API key is: `REF`, env:NAME or file:PATH"},
					&cli.StringFlag{Name: "webhook-secret-ref", Required: true, Usage: "where the secret of incoming webhooks is: `REF`, as above"},
					&cli.StringFlag{Name: "rate", Required: true, Usage: "at most `N` messages a second; 0 means no limit"},
					&cli.StringFlag{Name: "account", Usage: "the `NAME` of the WABA it shares with other channels (default: its own)"},
					&cli.StringFlag{Name: "dialect", Value: campaign.DialectCloud, Usage: "the provider's API: `cloud|sandbox`"},
					jsonFlag(),
				},
				Action: p.channelAdd,
			},
			{
				Name:        "list",
				Usage:       "list the channels",
				Description: text(`Lists all channels with what holds them up.`, examples(`channel list`, `channel list --json`)),
				Flags:       []cli.Flag{jsonFlag()},
				Action:      p.channelList,
			},
			{
				Name:        "show",
				Usage:       "show one channel",
				ArgsUsage:   "NAME",
				Description: text(`Shows a channel, its references, its webhook address and what holds it up.`, examples(`channel show sales-eu`)),
				Flags:       []cli.Flag{jsonFlag()},
				Action:      p.channelShow,
			},
			{
				Name:      "pause",
				Usage:     "stop sending on a channel",
				ArgsUsage: "NAME",
				Description: text(
					`Puts a hold on the channel. When the command returns, no further message of it is
handed to the provider, whatever campaign it belongs to; what is on its way
arrives. Nothing is lost: "channel resume" goes on.`,
					examples(`channel pause sales-eu --reason "billing is being looked at"`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "reason", Value: "paused by hand", Usage: "`TEXT` that status shows meanwhile"},
					jsonFlag(),
				},
				Action: p.channelPause,
			},
			{
				Name:      "resume",
				Usage:     "go on sending on a channel",
				ArgsUsage: "NAME",
				Description: text(
					`Lifts every hold on the channel and on its account, whoever put it there: also
those that an error of the provider put, so look at the reasons first.`,
					examples(`channel show sales-eu`, `channel resume sales-eu`)),
				Flags:  []cli.Flag{jsonFlag()},
				Action: p.channelResume,
			},
			{
				Name:      "webhook",
				Usage:     "show or register the address that the provider reports to",
				ArgsUsage: "NAME",
				Description: text(
					`Without --url shows what is registered with the provider. With it registers URL
together with the channel's webhook secret, which the provider then sends as
"Authorization: Bearer". The address has to end with /webhooks/NAME, use https,
and its host may have no underscore and no port, by the provider's rules; a
simulator on this machine is excepted. An address of another channel is refused.`,
					examples(`channel webhook sales-eu`, `channel webhook sales-eu --url https://campaigns.example.com/webhooks/sales-eu`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "url", Usage: "register this `URL`"},
					jsonFlag(),
				},
				Action: p.channelWebhook,
			},
			{
				Name:        "health",
				Usage:       "ask the provider whether the number can send",
				ArgsUsage:   "NAME",
				Description: text(`Asks the provider for the state of the number, its account and its business.`, examples(`channel health sales-eu`, `channel health sales-eu --json`)),
				Flags:       []cli.Flag{jsonFlag()},
				Action:      p.channelHealth,
			},
		},
	}
}

// channelView is a channel as --json prints it.
type channelView struct {
	ID               campaign.ChannelID `json:"id"`
	Name             string             `json:"name"`
	Phone            string             `json:"phone"`
	Account          string             `json:"account"`
	BaseURL          string             `json:"base_url"`
	Dialect          string             `json:"dialect"`
	KeyRef           string             `json:"key_ref"`
	WebhookSecretRef string             `json:"webhook_secret_ref"`
	WebhookURL       string             `json:"webhook_url"`
	Rate             float64            `json:"rate"`
	OnUnknown        string             `json:"on_unknown"`
	Confirmation     string             `json:"confirmation"` // to whoever stops; empty: none
	Holds            []campaign.Hold    `json:"holds"`
	CreatedAt        time.Time          `json:"created_at"`
}

func viewChannel(c *cli.Context, s *postgres.Store, ch campaign.Channel) (channelView, error) {
	holds, err := s.ChannelHolds(c.Context, ch.ID)
	if err != nil {
		return channelView{}, err
	}
	address, err := s.ChannelWebhook(c.Context, ch.ID)
	if err != nil {
		return channelView{}, err
	}
	confirmation, err := s.ConfirmationText(c.Context, ch.ID)
	if err != nil {
		return channelView{}, err
	}
	return channelView{
		ID: ch.ID, Name: ch.Name, Phone: ch.Phone, Account: ch.Account, BaseURL: ch.BaseURL, Dialect: ch.Dialect,
		KeyRef: ch.KeyRef, WebhookSecretRef: ch.WebhookSecretRef, WebhookURL: address, Rate: ch.Rate, OnUnknown: ch.OnUnknown,
		Confirmation: confirmation, Holds: append([]campaign.Hold{}, holds...), CreatedAt: ch.CreatedAt.UTC(),
	}, nil
}

func (p *program) channelAdd(c *cli.Context) error {
	ch, err := newChannel(c)
	if err != nil {
		return err
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	added, err := s.AddChannel(c.Context, ch)
	if err != nil {
		return err
	}
	for _, ref := range []struct{ what, ref string }{{"--key-ref", ch.KeyRef}, {"--webhook-secret-ref", ch.WebhookSecretRef}} {
		if _, err := p.secret(ref.what, ref.ref); err != nil {
			p.warn("warning: %s", err)
		}
	}
	view, err := viewChannel(c, s, added)
	if err != nil {
		return err
	}
	return p.result(c, view, func(w io.Writer) error {
		fmt.Fprintf(w, "channel %s added, %s\n", added.Name, rate(added.Rate))
		fmt.Fprintf(w, "next: campaignctl channel webhook %s --url https://…/webhooks/%s\n", added.Name, added.Name)
		fmt.Fprintf(w, "      campaignctl template sync %s\n", added.Name)
		return nil
	})
}

// newChannel checks the flags of "channel add", each by its name.
func newChannel(c *cli.Context) (campaign.Channel, error) {
	ch := campaign.Channel{
		Name: c.Args().First(), BaseURL: strings.TrimRight(c.String("base-url"), "/"), Dialect: c.String("dialect"),
		KeyRef: c.String("key-ref"), WebhookSecretRef: c.String("webhook-secret-ref"), Account: c.String("account"),
	}
	number, err := phone.Parse(c.String("phone"), "")
	if err != nil {
		reason := err.Error()
		var known *phone.Error
		if errors.As(err, &known) && known.Code == phone.CodeNoCountry {
			reason = "write it with + and the country's calling code"
		}
		return ch, campaign.ErrInvalid.With("--phone: "+reason, "as in +4930123456")
	}
	ch.Phone = number.E164
	if err := dialog360.ValidateBaseURL(ch.BaseURL); err != nil {
		return ch, fmt.Errorf("--base-url: %w", err)
	}
	if ch.Dialect != campaign.DialectCloud && ch.Dialect != campaign.DialectSandbox {
		return ch, usage("cloud or sandbox", "--dialect %q is not known", ch.Dialect)
	}
	if err := secret.Check("--key-ref", ch.KeyRef); err != nil {
		return ch, err
	}
	if err := secret.Check("--webhook-secret-ref", ch.WebhookSecretRef); err != nil {
		return ch, err
	}
	ch.Rate, err = parseRate(c.String("rate"))
	return ch, err
}

// parseRate reads messages per second: 50, 0.5 or 50/s.
func parseRate(s string) (float64, error) {
	n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(s), "/s"), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
		return 0, usage("messages a second, as in 50; 0 means no limit", "--rate %q is no rate", s)
	}
	return n, nil
}

func (p *program) channelList(c *cli.Context) error {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	channels, err := s.Channels(c.Context)
	if err != nil {
		return err
	}
	views := make([]channelView, len(channels))
	for i, ch := range channels {
		if views[i], err = viewChannel(c, s, ch); err != nil {
			return err
		}
	}
	return p.result(c, views, func(w io.Writer) error {
		if len(views) == 0 {
			p.note("there are no channels; add one with: campaignctl channel add")
			return nil
		}
		t := newTable(w)
		row(t, "NAME", "PHONE", "ACCOUNT", "RATE", "STATE")
		for _, v := range views {
			row(t, v.Name, v.Phone, v.Account, rate(v.Rate), map[bool]string{true: "held", false: "sending"}[len(v.Holds) > 0])
		}
		if err := t.Flush(); err != nil {
			return err
		}
		for _, v := range views {
			if len(v.Holds) == 0 {
				continue
			}
			fmt.Fprintf(w, "\n%s is held, because:\n", v.Name)
			if err := holdRows(w, v.Holds, "", v.Name); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *program) channelShow(c *cli.Context) error {
	s, ch, closeStore, err := p.channel(c)
	if err != nil {
		return err
	}
	defer closeStore()
	view, err := viewChannel(c, s, ch)
	if err != nil {
		return err
	}
	return p.result(c, view, func(w io.Writer) error {
		t := newTable(w)
		row(t, "channel", view.Name)
		row(t, "phone", view.Phone)
		row(t, "account", view.Account)
		row(t, "base URL", view.BaseURL+" ("+view.Dialect+")")
		row(t, "API key", view.KeyRef)
		row(t, "webhook secret", view.WebhookSecretRef)
		row(t, "webhook", dash(view.WebhookURL))
		row(t, "rate", rate(view.Rate))
		row(t, "told to who stops", dash(view.Confirmation))
		row(t, "added", when(&view.CreatedAt))
		if err := t.Flush(); err != nil {
			return err
		}
		return printHolds(w, view.Holds, "", view.Name)
	})
}

// channel opens the store and finds the channel that the first argument names.
func (p *program) channel(c *cli.Context) (*postgres.Store, campaign.Channel, func(), error) {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return nil, campaign.Channel{}, nil, err
	}
	ch, err := s.Channel(c.Context, c.Args().First())
	if err != nil {
		closeStore()
		return nil, campaign.Channel{}, nil, err
	}
	return s, ch, closeStore, nil
}

func (p *program) channelPause(c *cli.Context) error {
	s, ch, closeStore, err := p.channel(c)
	if err != nil {
		return err
	}
	defer closeStore()
	if err := s.PauseChannel(c.Context, ch.ID, c.String("reason")); err != nil {
		return err
	}
	view, err := viewChannel(c, s, ch)
	if err != nil {
		return err
	}
	return p.result(c, view, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "channel %s is paused\n", ch.Name)
		return err
	})
}

func (p *program) channelResume(c *cli.Context) error {
	s, ch, closeStore, err := p.channel(c)
	if err != nil {
		return err
	}
	defer closeStore()
	lifted, err := s.ResumeChannel(c.Context, ch.ID)
	if err != nil {
		return err
	}
	view, err := viewChannel(c, s, ch)
	if err != nil {
		return err
	}
	return p.result(c, view, func(w io.Writer) error {
		if len(lifted) == 0 {
			_, err := fmt.Fprintf(w, "channel %s was not held\n", ch.Name)
			return err
		}
		fmt.Fprintf(w, "channel %s goes on\n", ch.Name)
		t := newTable(w)
		for _, h := range lifted {
			row(t, "  lifted: "+h.Reason, "("+string(h.Scope)+", "+sourceText(h.Source)+")")
		}
		return t.Flush()
	})
}

// client gives the provider's client for a channel, with the key resolved here.
func (p *program) client(ch campaign.Channel) (*dialog360.Client, error) {
	key, err := p.secret("the key of channel "+ch.Name, ch.KeyRef)
	if err != nil {
		return nil, err
	}
	return dialog360.New(dialog360.Config{BaseURL: ch.BaseURL, Key: key, Dialect: ch.Dialect})
}

// webhookView says what is registered with the provider, without the secret.
type webhookView struct {
	Channel string `json:"channel"`
	URL     string `json:"url"`    // registered with the provider; empty when nothing is
	Ours    string `json:"ours"`   // what we registered last
	Secret  string `json:"secret"` // right, wrong or missing; empty when nothing is registered
}

func (p *program) channelWebhook(c *cli.Context) error {
	s, ch, closeStore, err := p.channel(c)
	if err != nil {
		return err
	}
	defer closeStore()
	client, err := p.client(ch)
	if err != nil {
		return err
	}
	defer client.Close()
	secret, err := p.secret("the webhook secret of channel "+ch.Name, ch.WebhookSecretRef)
	if err != nil {
		return err
	}
	if c.IsSet("url") {
		return p.registerWebhook(c, s, ch, client, secret)
	}
	registered, err := client.Webhook(c.Context)
	if err != nil {
		return err
	}
	view := webhookView{Channel: ch.Name, URL: registered.URL}
	if view.Ours, err = s.ChannelWebhook(c.Context, ch.ID); err != nil {
		return err
	}
	if view.URL != "" {
		view.Secret = "missing"
		for name, value := range registered.Headers {
			if strings.EqualFold(name, "Authorization") {
				view.Secret = map[bool]string{true: "right", false: "wrong"}[value == "Bearer "+secret]
			}
		}
	}
	return p.result(c, view, func(w io.Writer) error {
		if view.URL == "" {
			_, err := fmt.Fprintf(w, "no webhook is registered for channel %s: nothing will be heard of its messages\n", ch.Name)
			return err
		}
		fmt.Fprintf(w, "the provider reports to %s\n", view.URL)
		if view.Secret != "right" {
			p.warn("warning: the secret registered there is %s: reports will be refused; register again with --url", view.Secret)
		}
		if view.Ours != "" && view.Ours != view.URL {
			p.warn("warning: that is not the address we registered last (%s)", view.Ours)
		}
		return nil
	})
}

func (p *program) registerWebhook(c *cli.Context, s *postgres.Store, ch campaign.Channel, client *dialog360.Client, secret string) error {
	address := c.String("url")
	if err := dialog360.CheckWebhookURL(address, ch.BaseURL); err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	if u, err := url.Parse(address); err != nil || !strings.HasSuffix(u.Path, "/webhooks/"+ch.Name) {
		return usage(fmt.Sprintf("as in %s/webhooks/%s", origin(u), ch.Name),
			"--url: the address has to end with /webhooks/%s: under any other campaignd hears nothing of this channel", ch.Name)
	}
	former, err := s.ChannelWebhook(c.Context, ch.ID)
	if err != nil {
		return err
	}
	// Noted first: that refuses an address which another channel uses, and two
	// who register at once.
	if err := s.SetChannelWebhook(c.Context, ch.ID, address); err != nil {
		return err
	}
	if err := client.SetWebhook(c.Context, address, map[string]string{"Authorization": "Bearer " + secret}); err != nil {
		if undo := s.SetChannelWebhook(c.Context, ch.ID, former); undo != nil {
			p.warn("%s", undo)
		}
		return withDetails(err)
	}
	view := webhookView{Channel: ch.Name, URL: address, Ours: address, Secret: "right"}
	return p.result(c, view, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "the provider reports to %s from now on\n", address)
		return err
	})
}

// withDetails adds what the provider wrote of a refusal. Elsewhere it may name a
// person and stays away; here it is about the operator's own address.
func withDetails(err error) error {
	var call *dialog360.CallError
	var known *campaign.Error
	if !errors.As(err, &call) || !errors.As(err, &known) || call.Failure.Details == "" {
		return err
	}
	details := call.Failure.Details
	if first, rest, found := strings.Cut(details, ": "); found && strings.EqualFold(first, call.Failure.Title) {
		details = rest // the title is in the message
	}
	return known.With(known.Message+": "+details, known.Hint)
}

// origin is an address without its path.
func origin(u *url.URL) string {
	if u == nil {
		return "https://…"
	}
	return u.Scheme + "://" + u.Host
}

type healthView struct {
	Channel string `json:"channel"`
	dialog360.Health
}

func (p *program) channelHealth(c *cli.Context) error {
	_, ch, closeStore, err := p.channel(c)
	if err != nil {
		return err
	}
	defer closeStore()
	client, err := p.client(ch)
	if err != nil {
		return err
	}
	defer client.Close()
	health, err := client.Health(c.Context)
	if err != nil {
		return err
	}
	health.Entities = append([]dialog360.HealthEntity{}, health.Entities...)
	return p.result(c, healthView{ch.Name, health}, func(w io.Writer) error {
		fmt.Fprintf(w, "%s: %s\n", ch.Name, strings.ToLower(dash(health.Status)))
		for _, e := range health.Entities {
			fmt.Fprintf(w, "  %s: %s\n", strings.ToLower(strings.ReplaceAll(e.Type, "_", " ")), strings.ToLower(dash(e.Status)))
			for _, problem := range e.Errors {
				fmt.Fprintf(w, "    %d %s\n", problem.Code, oneLine(problem.Title))
				if problem.Solution != "" {
					fmt.Fprintf(w, "    %s\n", oneLine(problem.Solution))
				}
			}
			for _, note := range e.Notes {
				fmt.Fprintf(w, "    %s\n", oneLine(note))
			}
		}
		return nil
	})
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/phone"
)

func messageCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "message",
		Usage: "find out what happened to one person",
		Subcommands: []*cli.Command{
			{
				Name:      "show",
				Usage:     "tell everything about one message",
				ArgsUsage: "ID",
				Description: text(
					`Shows a message by its number, as exports and "message list" have it: its state
and why, every attempt, its times and its parameters.`,
					examples(`message show 1234`, `message show 1234 --json`)),
				Flags:  []cli.Flag{jsonFlag()},
				Action: p.messageShow,
			},
			{
				Name:  "list",
				Usage: "list the messages of one person",
				Description: text(
					`Lists what a person got or is to get, from every campaign, the newest first.`,
					examples(`message list --phone +491701234567`, `message list --phone 01701234567 --country DE --json`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "phone", Required: true, Usage: "the person's `NUMBER`"},
					countryFlag(),
					&cli.IntFlag{Name: "limit", Value: 100, Usage: "at most `N`"},
					jsonFlag(),
				},
				Action: p.messageList,
			},
			messageResolveCommand(p),
		},
	}
}

// messageView is a message as --json prints it.
func messageView(m campaign.MessageInfo) campaign.MessageInfo {
	if len(m.Parameters) == 0 {
		m.Parameters = json.RawMessage(`{}`)
	}
	m.Former = append([]campaign.FormerAttempt{}, m.Former...)
	for i := range m.Former {
		m.Former[i].ClaimedAt = utc(m.Former[i].ClaimedAt)
	}
	m.CreatedAt = m.CreatedAt.UTC()
	m.DueAt, m.ClaimedAt, m.ExpiresAt = utc(m.DueAt), utc(m.ClaimedAt), utc(m.ExpiresAt)
	m.SentAt, m.DeliveredAt, m.ReadAt, m.FailedAt = utc(m.SentAt), utc(m.DeliveredAt), utc(m.ReadAt), utc(m.FailedAt)
	return m
}

func (p *program) messageShow(c *cli.Context) error {
	id, err := strconv.ParseInt(c.Args().First(), 10, 64)
	if err != nil || id < 1 {
		return usage("message list --phone +… finds a person's", "%q is not the number of a message", c.Args().First())
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	found, err := s.Message(c.Context, campaign.MessageID(id))
	if err != nil {
		return err
	}
	m := messageView(found)
	return p.result(c, m, func(w io.Writer) error { return printMessage(w, m) })
}

func printMessage(w io.Writer, m campaign.MessageInfo) error {
	t := newTable(w)
	row(t, "message", m.ID)
	row(t, "to", m.Phone)
	state := string(m.State)
	if text := stateTexts[m.State]; text != "" {
		state += " (" + text + ")"
	}
	row(t, "state", state)
	if m.Reason != "" {
		explained := skipTexts[m.Reason]
		if m.State != campaign.Skipped {
			explained = waitText(m.Reason)
		}
		row(t, "reason", m.Reason+": "+explained)
	}
	if m.ErrorCode != "" {
		title, advice := explainStored(m.ErrorCode)
		row(t, "error", m.ErrorCode+" "+title)
		row(t, "", advice)
	}
	if m.CampaignID != 0 {
		row(t, "campaign", fmt.Sprintf("%d %s", m.CampaignID, m.Campaign))
	} else {
		row(t, "campaign", "none: sent by itself")
	}
	row(t, "channel", m.Channel)
	row(t, "template", m.Template+" ("+m.Language+")")
	if m.Row > 0 {
		row(t, "row of the file", m.Row)
	}
	row(t, "provider's id", dash(m.ProviderID))
	if m.RawStatus != "" {
		row(t, "provider's word", m.RawStatus)
	}
	row(t, "attempts", m.Attempts)
	row(t, "created", when(&m.CreatedAt))
	for _, moment := range []struct {
		what string
		at   string
	}{{"due", when(m.DueAt)}, {"handed over", when(m.ClaimedAt)}, {"expires", when(m.ExpiresAt)}, {"sent", when(m.SentAt)},
		{"delivered", when(m.DeliveredAt)}, {"read", when(m.ReadAt)}, {"failed", when(m.FailedAt)}} {
		if moment.at != "-" {
			row(t, moment.what, moment.at)
		}
	}
	row(t, "parameters", string(m.Parameters))
	for _, f := range m.Former {
		line := fmt.Sprintf("%s, handed over %s", f.State, when(f.ClaimedAt))
		if f.ErrorCode != "" {
			title, _ := explainStored(f.ErrorCode)
			line += ", " + f.ErrorCode + " " + title
		}
		row(t, fmt.Sprintf("attempt %d", f.Attempt), line)
	}
	return t.Flush()
}

func (p *program) messageList(c *cli.Context) error {
	number, err := parseNumber(c, c.String("phone"))
	if err != nil {
		return err
	}
	if c.Int("limit") < 1 {
		return usage("1 or more", "--limit %d is too small", c.Int("limit"))
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	found, err := s.Messages(c.Context, phone.MatchKey(number.E164), c.Int("limit"))
	if err != nil {
		return err
	}
	list := make([]campaign.MessageInfo, len(found))
	for i, m := range found {
		list[i] = messageView(m)
	}
	return p.result(c, list, func(w io.Writer) error {
		if len(list) == 0 {
			p.note("nobody wrote to this number")
			return nil
		}
		t := newTable(w)
		row(t, "ID", "CREATED", "CAMPAIGN", "CHANNEL", "TEMPLATE", "STATE", "REASON", "ERROR", "ATTEMPTS")
		for _, m := range list {
			row(t, m.ID, when(&m.CreatedAt), dash(m.Campaign), m.Channel, m.Template, m.State, dash(m.Reason), dash(m.ErrorCode), m.Attempts)
		}
		return t.Flush()
	})
}

package main

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
)

func repliesCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "replies",
		Usage:     "write one row per answer",
		ArgsUsage: "CAMPAIGN",
		Description: text(
			`Writes every inbound message that answers a message of the campaign, with the
columns message_id, phone, type, payload, received_at. payload is that of a pressed
button. What people wrote is not kept in a table; "webhook tail" shows it.`,
			examples(`campaign replies spring-sale-2026 > replies.csv`, `campaign replies 12 --format jsonl`)),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "csv", Usage: "`csv|jsonl`, one JSON object a line"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE` (default: standard output); it appears when it is complete"},
		},
		Action: p.campaignReplies,
	}
}

func (p *program) campaignReplies(c *cli.Context) error {
	format := c.String("format")
	if format != "csv" && format != "jsonl" {
		return usage("csv or jsonl", "--format %q is not known", format)
	}
	s, found, closeStore, err := p.campaignOf(c)
	if err != nil {
		return err
	}
	defer closeStore()
	write := func(w io.Writer) error {
		if format == "jsonl" {
			out := json.NewEncoder(w)
			return s.Replies(c.Context, found.ID, func(r campaign.Reply) error {
				r.ReceivedAt = r.ReceivedAt.UTC()
				return out.Encode(r)
			})
		}
		out := csv.NewWriter(w)
		if err := out.Write([]string{"message_id", "phone", "type", "payload", "received_at"}); err != nil {
			return err
		}
		err := s.Replies(c.Context, found.ID, func(r campaign.Reply) error {
			return out.Write([]string{strconv.FormatInt(int64(r.MessageID), 10), r.Phone, campaign.SafeCell(r.Type), campaign.SafeCell(r.Payload),
				r.ReceivedAt.UTC().Format(time.RFC3339)})
		})
		out.Flush()
		return errors.Join(err, out.Error())
	}
	if name := c.String("output"); name != "" && name != "-" {
		return writeWhole(name, write)
	}
	return write(p.stdout)
}

// printInbound tells what people answered.
func printInbound(w io.Writer, in campaign.Inbound) error {
	if in.Messages == 0 {
		return nil
	}
	fmt.Fprintf(w, "\n%s from %s\n", map[bool]string{true: "1 reply", false: count(in.Messages) + " replies"}[in.Messages == 1], people(in.People))
	if len(in.Buttons) == 0 {
		return nil
	}
	t := newTable(w)
	for _, payload := range slices.SortedFunc(maps.Keys(in.Buttons), func(a, b string) int {
		return cmp.Or(cmp.Compare(in.Buttons[b], in.Buttons[a]), cmp.Compare(a, b))
	}) {
		row(t, "  "+right(count(in.Buttons[payload]), 11), "pressed "+strconv.Quote(payload))
	}
	return t.Flush()
}

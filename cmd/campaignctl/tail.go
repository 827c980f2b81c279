package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
	"github.com/campaignd/campaignd/internal/postgres"
)

const (
	// tailEvery is how often new deliveries are looked for.
	tailEvery = 500 * time.Millisecond
	// tailBatch bounds what is read at once: bodies have up to 3 MB.
	tailBatch = 50
)

func tailCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "tail",
		Usage: "show what the provider reports, as it comes",
		Description: text(
			`Shows the events of every webhook that campaignd stores from now on, until Ctrl-C.
With --json each event is one line.`,
			examples(`webhook tail`, `webhook tail --channel sales-eu --last 10 --json`)),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "channel", Usage: "only those of the channel `NAME`"},
			&cli.IntFlag{Name: "last", Usage: "begin with the last `N` webhooks that are stored"},
			jsonFlag(),
		},
		Action: p.webhookTail,
	}
}

// tailedEvent is an event with where it came from.
type tailedEvent struct {
	Delivery   int64     `json:"delivery"`
	Channel    string    `json:"channel"`
	ReceivedAt time.Time `json:"received_at"`
	campaign.Event
}

func (p *program) webhookTail(c *cli.Context) error {
	if c.Int("last") < 0 {
		return usage("0 or more", "--last %d is too small", c.Int("last"))
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	if name := c.String("channel"); name != "" {
		if _, err := s.Channel(c.Context, name); err != nil {
			return err
		}
	}
	after, err := s.LastDelivery(c.Context)
	if err != nil {
		return err
	}
	// Ids have gaps, so this is at least what was asked for only where there are
	// none; it never costs more than that.
	after = max(after-int64(c.Int("last")), 0)
	err = p.follow(c, s, after)
	if c.Context.Err() != nil {
		return nil // Ctrl-C is the way to end it
	}
	return err
}

func (p *program) follow(c *cli.Context, s *postgres.Store, after int64) error {
	cursor := newTailCursor(after)
	names := map[campaign.ChannelID]string{}
	for {
		deliveries, err := s.Deliveries(c.Context, cursor.after, tailBatch)
		if err != nil {
			return err
		}
		fresh := false
		for _, d := range deliveries {
			if !cursor.see(d) {
				continue
			}
			fresh = true
			name, err := channelName(c.Context, s, names, d.Channel)
			if err != nil {
				return err
			}
			if only := c.String("channel"); only != "" && name != only {
				continue
			}
			if err := p.showDelivery(c.Bool("json"), name, d); err != nil {
				return err
			}
		}
		cursor.advance(time.Now())
		if fresh && len(deliveries) == tailBatch {
			continue
		}
		select {
		case <-c.Context.Done():
			return c.Context.Err()
		case <-time.After(tailEvery):
		}
	}
}

// tailLate is how long a webhook with a lower number may still appear: numbers
// are given before the commit, and commits overtake each other.
const tailLate = 3 * time.Second

// tailCursor shows every delivery once, also those that commit late.
type tailCursor struct {
	after int64 // everything up to here was shown
	seen  map[int64]time.Time
}

func newTailCursor(after int64) *tailCursor {
	return &tailCursor{after: after, seen: map[int64]time.Time{}}
}

// see reports whether a delivery is new.
func (t *tailCursor) see(d campaign.Delivery) bool {
	if _, known := t.seen[d.ID]; known || d.ID <= t.after {
		return false
	}
	t.seen[d.ID] = d.ReceivedAt
	return true
}

// advance moves on over what was seen, and over gaps that nothing fills any more.
func (t *tailCursor) advance(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(t.seen)) {
		if id != t.after+1 && now.Sub(t.seen[id]) < tailLate {
			return
		}
		t.after = id
		delete(t.seen, id)
	}
}

// channelName looks channels up again when one is not known yet.
func channelName(ctx context.Context, s *postgres.Store, names map[campaign.ChannelID]string, id campaign.ChannelID) (string, error) {
	if name, known := names[id]; known {
		return name, nil
	}
	channels, err := s.Channels(ctx)
	if err != nil {
		return "", err
	}
	names[id] = fmt.Sprint(id)
	for _, ch := range channels {
		names[ch.ID] = ch.Name
	}
	return names[id], nil
}

func (p *program) showDelivery(asJSON bool, channel string, d campaign.Delivery) error {
	events, err := dialog360.ParseWebhook(d.Body)
	if err != nil {
		p.warn("webhook %d of channel %s: %s", d.ID, channel, cause(err))
		return nil
	}
	for _, e := range events {
		var err error
		if asJSON {
			err = printJSONLine(p.stdout, tailedEvent{d.ID, channel, d.ReceivedAt.UTC(), e})
		} else {
			_, err = fmt.Fprintf(p.out(), "%s %s %s %s\n", d.ReceivedAt.Local().Format(time.TimeOnly), channel, e.Kind, oneLine(eventText(e)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

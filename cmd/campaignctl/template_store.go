package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

// Meta allows 250 template names on an account that is not verified; who comes
// near learns it here and not when the next one is refused (whatsapp-facts §2.4).
const (
	maxTemplateNames  = 250
	warnTemplateNames = 225
)

type syncView struct {
	Channel string `json:"channel"`
	campaign.TemplateSync
}

func (p *program) templateSync(c *cli.Context) error {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	channels, err := channelsOf(c.Context, s, c.Args().First())
	if err != nil {
		return err
	}
	if len(channels) == 0 {
		return campaign.ErrNotFound.With("there are no channels", "add one with: campaignctl channel add")
	}
	views := make([]syncView, 0, len(channels))
	var bad []error
	for _, ch := range channels {
		result, err := p.syncChannel(c.Context, s, ch)
		if err != nil {
			bad = append(bad, fmt.Errorf("channel %s: %w", ch.Name, err)) // the others are still fetched
			continue
		}
		views = append(views, syncView{ch.Name, result})
	}
	err = p.result(c, views, func(w io.Writer) error {
		for _, v := range views {
			printSync(w, v)
		}
		return nil
	})
	if err != nil || len(bad) == 0 {
		return err
	}
	for _, e := range bad[:len(bad)-1] {
		p.warn("%s", e)
	}
	return bad[len(bad)-1]
}

// channelsOf gives the named channel, all of them for an empty name.
func channelsOf(ctx context.Context, s *postgres.Store, name string) ([]campaign.Channel, error) {
	if name == "" {
		return s.Channels(ctx)
	}
	ch, err := s.Channel(ctx, name)
	return []campaign.Channel{ch}, err
}

func (p *program) syncChannel(ctx context.Context, s *postgres.Store, ch campaign.Channel) (campaign.TemplateSync, error) {
	client, err := p.client(ch)
	if err != nil {
		return campaign.TemplateSync{}, err
	}
	defer client.Close()
	listed, err := client.Templates(ctx)
	if err != nil {
		return campaign.TemplateSync{}, err
	}
	names := map[string]bool{}
	for _, t := range listed {
		names[t.Name] = true
	}
	if len(names) >= warnTemplateNames {
		p.warn("warning: account %s has %d template names of at most %d: delete some before the next is refused", ch.Account, len(names), maxTemplateNames)
	}
	result, err := s.SyncTemplates(ctx, ch.ID, listed)
	if result.Changes == nil {
		result.Changes = []campaign.TemplateChange{}
	}
	for i := range result.Changes {
		result.Changes[i].Details = append([]string{}, result.Changes[i].Details...)
	}
	return result, err
}

func printSync(w io.Writer, v syncView) {
	fmt.Fprintf(w, "%s: %d added, %d changed, %d removed, %d unchanged\n", v.Channel, v.Added, v.Changed, v.Removed, v.Unchanged)
	for _, change := range v.Changes {
		line := fmt.Sprintf("  %s %s (%s)", change.Change, change.Name, change.Language)
		if len(change.Details) > 0 {
			line += ": " + strings.Join(change.Details, ", ")
		}
		if change.Held {
			line += "; its campaigns are held"
		}
		fmt.Fprintln(w, oneLine(line))
	}
}

// templateView is a stored template as --json prints it.
type templateView struct {
	Channel string `json:"channel"`
	campaign.TemplateSummary
	Status   string    `json:"status"`
	Quality  string    `json:"quality"`
	Text     string    `json:"text"` // with its placeholders
	SyncedAt time.Time `json:"synced_at"`
}

func (p *program) templateList(c *cli.Context) error {
	views, err := p.storedTemplates(c, "")
	if err != nil {
		return err
	}
	return p.result(c, views, func(w io.Writer) error {
		if len(views) == 0 {
			p.note("there are no templates; fetch them with: campaignctl template sync")
			return nil
		}
		t := newTable(w)
		row(t, "CHANNEL", "NAME", "LANGUAGE", "STATUS", "CATEGORY", "SLOTS", "SENDABLE")
		for _, v := range views {
			sendable := "yes"
			switch {
			case !v.Sendable:
				sendable = "no, of a kind that cannot be sent yet"
			case v.Status != campaign.TemplateApproved:
				sendable = "no, not approved"
			}
			row(t, v.Channel, v.Name, v.Language, strings.ToLower(v.Status), strings.ToLower(v.Category), len(v.Slots), sendable)
		}
		return t.Flush()
	})
}

// storedTemplates reads the templates that the flags choose, all languages of
// the name or, for an empty one, all.
func (p *program) storedTemplates(c *cli.Context, name string) ([]templateView, error) {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return nil, err
	}
	defer closeStore()
	channels, err := channelsOf(c.Context, s, c.String("channel"))
	if err != nil {
		return nil, err
	}
	views := []templateView{}
	var absent error
	for _, ch := range channels {
		var found []campaign.Template
		if name == "" {
			found, err = s.Templates(c.Context, ch.ID)
		} else {
			found, err = s.TemplateLanguages(c.Context, ch.ID, name)
		}
		if errors.Is(err, campaign.ErrNotFound) {
			absent = err
			continue
		}
		if err != nil {
			return nil, err
		}
		for i := range found {
			if found[i].Status == "DELETED" && !c.Bool("deleted") {
				continue
			}
			views = append(views, viewTemplate(ch, &found[i]))
		}
	}
	if len(views) == 0 && absent != nil {
		return nil, absent
	}
	return views, nil
}

func viewTemplate(ch campaign.Channel, t *campaign.Template) templateView {
	return templateView{
		Channel: ch.Name, TemplateSummary: t.Summary(), Status: t.Status, Quality: t.Quality,
		Text: t.Render(nil), SyncedAt: t.SyncedAt.UTC(),
	}
}

func (p *program) templateShow(c *cli.Context) error {
	name := c.Args().First()
	views, err := p.storedTemplates(c, name)
	if err != nil {
		return err
	}
	if language := campaign.NormalizeLanguage(c.String("language")); language != "" {
		there := make([]string, len(views))
		for i, v := range views {
			there[i] = v.Language
		}
		views = slices.DeleteFunc(views, func(v templateView) bool { return v.Language != language })
		if len(views) == 0 {
			return campaign.ErrNotFound.With(fmt.Sprintf("template %q has no language %q; it has %s", name, language, strings.Join(there, ", ")), "")
		}
	}
	if len(views) == 0 {
		return campaign.ErrNotFound.With(fmt.Sprintf("no template %q", name), "fetch them with: campaignctl template sync")
	}
	return p.result(c, views, func(w io.Writer) error {
		for i, v := range views {
			if i > 0 {
				fmt.Fprintln(w)
			}
			printTemplate(w, v.TemplateSummary)
			fmt.Fprintf(w, "  on %s, %s, fetched %s\n\n", v.Channel, strings.ToLower(v.Status), when(&v.SyncedAt))
			printIndented(w, v.Text)
		}
		return nil
	})
}

// printIndented prints a text of several lines as a quotation.
func printIndented(w io.Writer, text string) {
	for line := range strings.Lines(text + "\n") {
		row(w, "  | "+strings.TrimRight(line, "\r\n"))
	}
}

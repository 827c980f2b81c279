package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
)

func listCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "look at contact lists",
		Subcommands: []*cli.Command{
			{
				Name:        "list",
				Usage:       "list the lists",
				Description: text(`Lists all contact lists with their sizes.`, examples(`list list`, `list list --json`)),
				Flags:       []cli.Flag{jsonFlag()},
				Action:      p.listList,
			},
			{
				Name:        "show",
				Usage:       "show one list",
				ArgsUsage:   "NAME",
				Description: text(`Shows a list and the columns that a campaign file may name.`, examples(`list show vips`)),
				Flags:       []cli.Flag{jsonFlag()},
				Action:      p.listShow,
			},
			{
				Name:      "delete",
				Usage:     "delete a list, and nobody on it",
				ArgsUsage: "NAME",
				Description: text(
					`Deletes a list. The people stay, and campaigns that were planned from it keep
their frozen audience.`,
					examples(`list delete vips`)),
				Flags:  []cli.Flag{jsonFlag()},
				Action: p.listDelete,
			},
		},
	}
}

func (p *program) listList(c *cli.Context) error {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	lists, err := s.Lists(c.Context)
	if err != nil {
		return err
	}
	for i := range lists {
		lists[i] = listView(lists[i])
	}
	return p.result(c, append([]campaign.List{}, lists...), func(w io.Writer) error {
		if len(lists) == 0 {
			p.note("there are no lists; import one with: campaignctl contact import FILE --list NAME")
			return nil
		}
		t := newTable(w)
		row(t, "NAME", "CONTACTS", "CHANGED")
		for _, l := range lists {
			row(t, l.Name, count(l.Contacts), when(&l.UpdatedAt))
		}
		return t.Flush()
	})
}

// listView has no null columns, and times in UTC.
func listView(l campaign.List) campaign.List {
	l.Columns = append([]string{}, l.Columns...)
	l.CreatedAt, l.UpdatedAt = l.CreatedAt.UTC(), l.UpdatedAt.UTC()
	return l
}

func (p *program) listShow(c *cli.Context) error {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	l, err := s.List(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	l = listView(l)
	return p.result(c, l, func(w io.Writer) error {
		t := newTable(w)
		row(t, "list", l.Name)
		row(t, "contacts", count(l.Contacts))
		row(t, "columns", dash(strings.Join(l.Columns, ", ")))
		row(t, "made", when(&l.CreatedAt))
		row(t, "changed", when(&l.UpdatedAt))
		return t.Flush()
	})
}

type deletedList struct {
	campaign.List
	Campaigns []campaign.ID `json:"campaigns"` // open ones that were planned from it
}

func (p *program) listDelete(c *cli.Context) error {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	l, planned, err := s.DeleteList(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	return p.result(c, deletedList{listView(l), append([]campaign.ID{}, planned...)}, func(w io.Writer) error {
		fmt.Fprintf(w, "list %s is deleted; its %s stay\n", l.Name, plural(l.Contacts, "contact"))
		for _, id := range planned {
			fmt.Fprintf(w, "campaign %d was planned from it and keeps its audience\n", id)
		}
		return nil
	})
}

package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
)

func nodeCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "node",
		Usage: "look at the running daemons",
		Subcommands: []*cli.Command{{
			Name:  "list",
			Usage: "list the daemons and what each sends",
			Description: text(
				`Lists every campaignd on this database: where it runs, what it does, and for each
channel the share of the rate that it may use and what it sends now, in messages a
second. One of them leads: it schedules and rescues jobs, any can. A daemon that was
silent for 15 seconds is lost: killed, suspended or cut off. What it was sending is
settled by the others, its shares are divided among them. It is forgotten after a
day; one that stopped cleanly is not listed.`,
				examples(`node list`, `node list --json`)),
			Flags:  []cli.Flag{jsonFlag()},
			Action: p.nodeList,
		}},
	}
}

func (p *program) nodeList(c *cli.Context) error {
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	nodes, err := s.Nodes(c.Context)
	if err != nil {
		return err
	}
	for i := range nodes {
		nodes[i].StartedAt, nodes[i].SeenAt = nodes[i].StartedAt.UTC(), nodes[i].SeenAt.UTC()
	}
	return p.result(c, append([]campaign.NodeStatus{}, nodes...), func(w io.Writer) error {
		if len(nodes) == 0 {
			_, err := fmt.Fprintln(w, "no daemon runs on this database; start one with: campaignd run")
			return err
		}
		t := newTable(w)
		row(t, "HOST", "PID", "STATE", "ROLES", "LISTEN", "SINCE", "SEEN", "VERSION", "CHANNEL", "SENDS", "SHARE")
		for _, n := range nodes {
			state := n.State
			if n.Leader && state == campaign.NodeRunning {
				state = "leads"
			}
			cells := []any{n.Host, n.PID, state, strings.Join(n.Roles, ","), n.Listen, when(&n.StartedAt), when(&n.SeenAt), n.Version}
			if len(n.Channels) == 0 {
				row(t, append(cells, "-")...)
			}
			for i, ch := range n.Channels {
				if i > 0 {
					cells = []any{"", "", "", "", "", "", "", ""}
				}
				row(t, append(cells, ch.Channel, perSecond(ch.Rate), shareText(ch))...)
			}
		}
		return t.Flush()
	})
}

// shareText says what a node may send on a channel.
func shareText(ch campaign.NodeChannel) string {
	switch {
	case ch.Limit == nil:
		return "no limit"
	case ch.Share == nil:
		return "none of " + perSecond(*ch.Limit)
	}
	return perSecond(*ch.Share) + " of " + perSecond(*ch.Limit)
}

// perSecond writes a rate with at most one decimal.
func perSecond(r float64) string {
	return strconv.FormatFloat(math.Round(r*10)/10, 'f', -1, 64) + "/s"
}

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

func (p *program) campaignPause(c *cli.Context) error {
	s, found, closeStore, err := p.campaignOf(c)
	if err != nil {
		return err
	}
	defer closeStore()
	if err := s.Pause(c.Context, found.ID, c.String("reason")); err != nil {
		return err
	}
	return p.afterwards(c, s, found, "campaign %d %s is paused\n")
}

// afterwards shows a campaign after something was done to it.
func (p *program) afterwards(c *cli.Context, s *postgres.Store, found campaign.Campaign, format string) error {
	status, err := s.Status(c.Context, found.ID)
	if err != nil {
		return err
	}
	return p.result(c, inUTC(status), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, format, found.ID, found.Name)
		return err
	})
}

func (p *program) campaignResume(c *cli.Context) error {
	s, found, closeStore, err := p.campaignOf(c)
	if err != nil {
		return err
	}
	defer closeStore()
	remaining, err := s.Resume(c.Context, found.ID)
	if err != nil {
		return err
	}
	if len(remaining) == 0 {
		return p.afterwards(c, s, found, "campaign %d %s goes on\n")
	}
	for _, h := range remaining {
		p.warn("warning: still held: %s (%s)", h.Reason, h.Scope)
		if h.Scope == campaign.HoldChannel || h.Scope == campaign.HoldAccount {
			p.warn("that is lifted with: campaignctl channel resume %s", found.Spec.Channel)
		}
	}
	return p.afterwards(c, s, found, "campaign %d %s does not go on yet\n")
}

func (p *program) campaignCancel(c *cli.Context) error {
	s, found, closeStore, err := p.campaignOf(c)
	if err != nil {
		return err
	}
	defer closeStore()
	status, err := s.Status(c.Context, found.ID)
	if err != nil {
		return err
	}
	if found.State != campaign.Cancelled {
		waiting := campaign.FunnelOf(status).Waiting
		question := fmt.Sprintf("cancel campaign %d %s, with %s not yet sent? Type yes", found.ID, found.Name, plural(waiting, "message"))
		if err := p.confirm(c, question, "yes"); err != nil {
			return err
		}
	}
	if err := s.Cancel(c.Context, found.ID); err != nil {
		return err
	}
	if err := p.sweep(c.Context, s, found.ID); err != nil {
		return err
	}
	return p.afterwards(c, s, found, "campaign %d %s is cancelled\n")
}

// sweep ends what still waited in a cancelled campaign. The daemon does it, too:
// here it is done so that the numbers are final when the command returns.
func (p *program) sweep(ctx context.Context, s *postgres.Store, id campaign.ID) error {
	progress := p.counter("messages ended")
	defer progress.finish()
	for {
		ended, err := s.Sweep(ctx, id)
		if err != nil {
			return fmt.Errorf("campaign %d is cancelled, and the daemon ends what waited: %w", id, err)
		}
		if ended == 0 {
			return nil
		}
		progress.add(int64(ended))
	}
}

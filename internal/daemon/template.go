package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// lookouts looks at templates of which the provider dropped messages, apart from
// the webhooks that told of it: the provider may take its time to answer. Each
// template waits in it at most once.
type lookouts struct {
	look func(ctx context.Context, dropped campaign.Dropped, ask bool)

	mu      sync.Mutex
	pending []campaign.Dropped
	woken   chan struct{}
}

// mostLookouts bounds how many templates may wait. Beyond it something is so
// wrong that the stored status of a template has to do.
const mostLookouts = 100

func newLookouts(look func(context.Context, campaign.Dropped, bool)) *lookouts {
	return &lookouts{look: look, woken: make(chan struct{}, 1)}
}

// add never waits for the provider.
func (l *lookouts) add(ctx context.Context, dropped campaign.Dropped) {
	l.mu.Lock()
	waits, full := false, len(l.pending) >= mostLookouts
	for _, p := range l.pending {
		waits = waits || p == dropped
	}
	if !waits && !full {
		l.pending = append(l.pending, dropped)
	}
	l.mu.Unlock()
	if !waits && full {
		l.look(ctx, dropped, false)
		return
	}
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

// Run looks at one template after the other until ctx ends; what waits then is
// decided by the stored status, so that no hold is lost with the process.
func (l *lookouts) Run(ctx context.Context) error {
	for {
		l.mu.Lock()
		next := append([]campaign.Dropped{}, l.pending...)
		l.mu.Unlock()
		for _, dropped := range next {
			l.look(ctx, dropped, ctx.Err() == nil)
			l.mu.Lock()
			l.pending = l.pending[1:] // only now: what comes meanwhile is of the same moment
			l.mu.Unlock()
		}
		if len(next) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.woken:
		}
	}
}

// lookFor bounds a look: the provider answers within 20 s, or is given up.
const lookFor = 25 * time.Second

// lookAtTemplate decides what to hold after the provider dropped a message it had
// held (132015 by webhook): a paused template, or else the account, because then
// the whole portfolio is paced (design §5). With ask the provider is asked for the
// template's status, otherwise the stored one has to do.
func (d *Daemon) lookAtTemplate(ctx context.Context, dropped campaign.Dropped, ask bool) {
	log := d.log.With("channel_id", dropped.Channel, "template_id", dropped.Template)
	asking := ctx
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookFor) // a stop ends the asking, not the hold
	defer cancel()
	template, err := d.store.TemplateByID(ctx, dropped.Template)
	if err != nil {
		log.Error("cannot look at a template whose messages were dropped", "error", err)
		return
	}
	channel, err := d.store.ChannelByID(ctx, dropped.Channel)
	if err != nil {
		log.Error("cannot look at the channel of a dropped message", "error", err)
		return
	}
	status := template.Status
	if c, err := newClient(channel, 1); err == nil && ask {
		defer c.Close()
		if list, err := c.Templates(asking); err == nil {
			for _, t := range list {
				if t.Name == template.Name && t.Language == template.Language {
					status = t.Status
				}
			}
			if _, err := d.store.SyncTemplates(ctx, channel.ID, list); err != nil {
				log.Error("cannot store the templates", "error", err)
			}
		} else {
			log.Warn("cannot ask the provider for the template", "error", err)
		}
	}
	hold := campaign.Hold{Scope: campaign.HoldAccount, ScopeID: channel.AccountID, Source: campaign.SourceCode,
		Reason: "132015: the provider dropped messages it had held although the template is not paused: the portfolio is paced"}
	if status == campaign.TemplatePaused || status == campaign.TemplateDisabled {
		hold = campaign.Hold{Scope: campaign.HoldTemplate, ScopeID: int64(dropped.Template), Source: campaign.SourceTemplate,
			Reason: "132015: the template is " + status + "; the provider dropped messages it had held"}
	}
	if err := d.store.PutHold(ctx, hold); err != nil {
		log.Error("cannot put a hold", "error", err)
		return
	}
	log.Warn("held", "scope", hold.Scope, "reason", hold.Reason)
}

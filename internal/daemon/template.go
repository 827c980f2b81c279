package daemon

import (
	"context"

	"github.com/campaignd/campaignd/internal/campaign"
)

// lookAtTemplate decides what to hold after the provider dropped a message it had
// held (132015 by webhook): a paused template, or else the account, because then
// the whole portfolio is paced (design §5).
func (d *Daemon) lookAtTemplate(ctx context.Context, dropped campaign.Dropped) {
	log := d.log.With("channel_id", dropped.Channel, "template_id", dropped.Template)
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
	if c, err := newClient(channel, 1); err == nil {
		defer c.Close()
		if list, err := c.Templates(ctx); err == nil {
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

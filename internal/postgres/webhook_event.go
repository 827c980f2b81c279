package postgres

import (
	"context"
	"fmt"

	"github.com/campaignd/campaignd/internal/campaign"
)

// applyOther applies the events that are about a person, a template, a number or
// an account.
func (s *Store) applyOther(ctx context.Context, channel campaign.ChannelID, e campaign.Event) error {
	switch e.Kind {
	case campaign.EventTemplateStatus, campaign.EventTemplateCategory, campaign.EventTemplateQuality:
		return s.ApplyTemplateEvent(ctx, channel, e)
	case campaign.EventPhoneQuality:
		_, err := s.pool.Exec(ctx, `UPDATE campaign.channels SET quality = $2 WHERE id = $1 AND quality <> $2`, channel, plainText(e.Event))
		return translate(err)
	case campaign.EventAccount:
		return s.applyAccount(ctx, channel, e)
	}
	return nil
}

// accountStops are the account events after which nothing of the account may be
// sent (whatsapp-facts §6.5), with what a person is told.
var accountStops = map[string]string{
	"ACCOUNT_RESTRICTION": "WhatsApp restricted the account",
	"DISABLED_UPDATE":     "WhatsApp disables the account",
	"ACCOUNT_DELETED":     "the account was deleted",
	"PARTNER_REMOVED":     "the account was taken away from the provider",
	"ACCOUNT_OFFBOARDED":  "the account was offboarded",
}

// applyAccount holds the account of a channel on a restriction, a ban, a deletion
// or a removal, and lifts its own hold when it is reinstated.
func (s *Store) applyAccount(ctx context.Context, channel campaign.ChannelID, e campaign.Event) error {
	var account int64
	if err := s.pool.QueryRow(ctx, `SELECT account_id FROM campaign.channels WHERE id = $1`, channel).Scan(&account); err != nil {
		return fmt.Errorf("find the account of channel %d: %w", channel, translate(err))
	}
	if e.Event == "ACCOUNT_RECONNECTED" || e.Event == "DISABLED_UPDATE" && e.New == "REINSTATE" {
		_, err := s.LiftHold(ctx, campaign.HoldAccount, account, campaign.SourceAccount)
		return err
	}
	reason, stops := accountStops[e.Event]
	if !stops {
		return nil
	}
	if e.Reason != "" {
		reason += ": " + plainText(e.Reason)
	}
	return s.PutHold(ctx, campaign.Hold{Scope: campaign.HoldAccount, ScopeID: account, Source: campaign.SourceAccount, Reason: reason})
}

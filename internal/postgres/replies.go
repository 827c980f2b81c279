package postgres

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// inboundOf counts the answers to a campaign.
func inboundOf(ctx context.Context, tx pgx.Tx, id campaign.ID, in *campaign.Inbound) error {
	in.Buttons = map[string]int64{}
	rows, err := tx.Query(ctx, reportInboundSQL, pgx.StrictNamedArgs{"campaign": id})
	if err != nil {
		return err
	}
	var payload string
	var n, people int64
	_, err = pgx.ForEachRow(rows, []any{&payload, &n, &people}, func() error {
		if payload == "" {
			in.Messages, in.People = n, people
		} else {
			in.Buttons[payload] = n
		}
		return nil
	})
	return err
}

// Replies gives the inbound messages that answer a campaign, the oldest first, to
// yield, whose error it returns. Their texts are in the stored webhooks only.
func (s *Store) Replies(ctx context.Context, id campaign.ID, yield func(campaign.Reply) error) error {
	rows, err := s.pool.Query(ctx, `
		SELECT r.message_id, COALESCE(c.phone, ''), r.type, r.payload, r.received_at
		  FROM campaign.replies AS r LEFT JOIN campaign.contacts AS c ON c.id = r.contact_id AND r.contact_id > 0
		 WHERE r.campaign_id = $1 AND r.campaign_id > 0
		 ORDER BY r.received_at, r.provider_id`, id)
	if err != nil {
		return fmt.Errorf("read the replies to campaign %d: %w", id, translate(err))
	}
	var r campaign.Reply
	_, err = pgx.ForEachRow(rows, []any{&r.MessageID, &r.Phone, &r.Type, &r.Payload, &r.ReceivedAt}, func() error { return yield(r) })
	if err != nil {
		return fmt.Errorf("read the replies to campaign %d: %w", id, translate(err))
	}
	return nil
}

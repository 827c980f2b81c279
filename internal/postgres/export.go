package postgres

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

//go:embed sql/export_chunk.sql
var exportChunkSQL string

// exportChunk is how many messages one statement of an export reads: no
// transaction is held while a slow reader takes the rows.
const exportChunk = 5000

// Export gives every message of a campaign, in the order of their ids, each once
// and as it was when its chunk was read. It stops with yield's error.
func (s *Store) Export(ctx context.Context, id campaign.ID, yield func(campaign.ExportRow) error) error {
	var first, last campaign.MessageID
	err := s.pool.QueryRow(ctx, `SELECT first_id, last_id FROM campaign.campaigns WHERE id = $1`, id).Scan(&first, &last)
	if err != nil {
		return fmt.Errorf("export campaign %d: %w", id, translate(err))
	}
	chunk := make([]campaign.ExportRow, 0, exportChunk)
	for after := first - 1; after < last; {
		rows, err := s.pool.Query(ctx, exportChunkSQL, pgx.StrictNamedArgs{"campaign": id, "after": after, "last": last, "limit": exportChunk})
		if err != nil {
			return fmt.Errorf("export campaign %d: %w", id, translate(err))
		}
		chunk, err = pgx.AppendRows(chunk[:0], rows, exportRow)
		if err != nil {
			return fmt.Errorf("export campaign %d: %w", id, translate(err))
		}
		for _, row := range chunk {
			if err := yield(row); err != nil {
				return err
			}
		}
		if len(chunk) < exportChunk {
			return nil
		}
		after = chunk[len(chunk)-1].MessageID
	}
	return nil
}

func exportRow(row pgx.CollectableRow) (campaign.ExportRow, error) {
	var r campaign.ExportRow
	err := row.Scan(&r.MessageID, &r.Phone, &r.State, &r.Reason, &r.ErrorCode, &r.ProviderID, &r.Attempts,
		&r.CreatedAt, &r.SentAt, &r.DeliveredAt, &r.ReadAt, &r.FailedAt)
	return r, err
}

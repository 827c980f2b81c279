package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Media finds the provider's id of a file that was uploaded for a channel, by
// the SHA-256 of its content. It is empty when the file was not uploaded or the
// provider forgets it within the given time.
func (s *Store) Media(ctx context.Context, channel campaign.ChannelID, sha256 [32]byte, atLeast time.Duration) (string, error) {
	var id string
	err := s.pool.QueryRow(ctx, `
		SELECT media_id FROM campaign.media
		 WHERE channel_id = $1 AND sha256 = $2 AND expires_at > clock_timestamp() + make_interval(secs => $3)`,
		channel, sha256[:], atLeast.Seconds()).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for an uploaded file: %w", translate(err))
	}
	return id, nil
}

// SaveMedia notes an upload and when the provider forgets it.
func (s *Store) SaveMedia(ctx context.Context, channel campaign.ChannelID, sha256 [32]byte, mediaID string, expires time.Time) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO campaign.media (channel_id, sha256, media_id, expires_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (channel_id, sha256) DO UPDATE SET media_id = excluded.media_id, expires_at = excluded.expires_at`,
		channel, sha256[:], mediaID, expires)
	if err != nil {
		return fmt.Errorf("note an uploaded file: %w", translate(err))
	}
	return nil
}

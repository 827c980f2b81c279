package postgres

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Media finds the provider's id of a file that was uploaded for a channel, by
// the SHA-256 of its content. It is empty when the file was not uploaded or the
// provider forgets it within the given time.
func (s *Store) Media(ctx context.Context, channel campaign.ChannelID, sum [32]byte, atLeast time.Duration) (string, error) {
	var id string
	err := s.pool.QueryRow(ctx, `
		SELECT media_id FROM campaign.media
		 WHERE channel_id = $1 AND sha256 = $2 AND expires_at > clock_timestamp() + make_interval(secs => $3)
		 ORDER BY expires_at DESC LIMIT 1`,
		channel, sum[:], atLeast.Seconds()).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for an uploaded file: %w", translate(err))
	}
	return id, nil
}

// SaveMedia notes an upload and when the provider forgets it.
func (s *Store) SaveMedia(ctx context.Context, channel campaign.ChannelID, sum [32]byte, mediaID string, expires time.Time) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO campaign.media (channel_id, sha256, media_id, expires_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (channel_id, media_id) DO UPDATE SET sha256 = excluded.sha256, expires_at = excluded.expires_at`,
		channel, sum[:], mediaID, expires)
	if err != nil {
		return fmt.Errorf("note an uploaded file: %w", translate(err))
	}
	return nil
}

// File is a local header file whose bytes are kept, so that they can be uploaded
// again by whoever plans or sends.
type File struct {
	Name        string // a file name without folders
	ContentType string
	Content     []byte
}

// SaveFile keeps the bytes of a header file and gives the hexadecimal SHA-256 by
// which they are found.
func (s *Store) SaveFile(ctx context.Context, f File) (string, error) {
	sum := sha256.Sum256(f.Content)
	// One that is there already is only marked: its bytes need not travel.
	tag, err := s.pool.Exec(ctx, `UPDATE campaign.media_files SET used_at = clock_timestamp() WHERE sha256 = $1`, sum[:])
	if err == nil && tag.RowsAffected() == 0 {
		_, err = s.pool.Exec(ctx, `
			INSERT INTO campaign.media_files (sha256, name, content_type, content) VALUES ($1, $2, $3, $4)
			ON CONFLICT (sha256) DO UPDATE SET used_at = clock_timestamp()`, sum[:], plainText(f.Name), f.ContentType, f.Content)
	}
	return hex.EncodeToString(sum[:]), wrap("keep a header file", err)
}

// File gives the bytes of a header file by their hexadecimal SHA-256, or
// ErrNotFound.
func (s *Store) File(ctx context.Context, sum string) (File, error) {
	var f File
	err := s.pool.QueryRow(ctx, `
		UPDATE campaign.media_files SET used_at = clock_timestamp() WHERE sha256 = decode($1, 'hex')
		RETURNING name, content_type, content`, sum).Scan(&f.Name, &f.ContentType, &f.Content)
	if errors.Is(err, pgx.ErrNoRows) {
		return f, campaign.ErrNotFound.With("the bytes of a header file are not stored", "launch it again with campaignctl, which stores its files")
	}
	return f, wrap("read a header file", err)
}

//go:embed sql/media_forget.sql
var mediaForgetSQL string

// ForgetFiles deletes header files that nobody has used for 90 days, and that no
// schedule and no open campaign needs.
func (s *Store) ForgetFiles(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, mediaForgetSQL)
	return wrap("forget old header files", err)
}

//go:embed sql/media_aging.sql
var mediaAgingSQL string

// AgingMedia is an uploaded header file that an open campaign still sends and
// that the provider is about to forget.
type AgingMedia struct {
	Campaign  campaign.ID
	Channel   campaign.Channel
	Slot      string
	Kind      campaign.SlotKind
	MediaID   string // as the campaign has it
	SHA256    string // hexadecimal, of the file
	Stored    bool   // its bytes are kept
	ExpiresAt time.Time
}

// AgingMedia lists header files of open campaigns whose upload ends within the
// given time.
func (s *Store) AgingMedia(ctx context.Context, within time.Duration) ([]AgingMedia, error) {
	rows, err := s.pool.Query(ctx, mediaAgingSQL, pgx.StrictNamedArgs{"within": within.Seconds()})
	if err != nil {
		return nil, wrap("look for aging header files", err)
	}
	var channels []string
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (AgingMedia, error) {
		var m AgingMedia
		var channel string
		err := row.Scan(&m.Campaign, &channel, &m.Slot, &m.Kind, &m.MediaID, &m.SHA256, &m.Stored, &m.ExpiresAt)
		channels = append(channels, channel)
		return m, err
	})
	if err != nil {
		return nil, wrap("look for aging header files", err)
	}
	for i := range found {
		if found[i].Channel, err = s.Channel(ctx, channels[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// ReplaceMedia puts a new upload of the same bytes in the place of an old one, in
// one campaign. Who has the old id at hand may still send it: it is good for days.
func (s *Store) ReplaceMedia(ctx context.Context, m AgingMedia, newID string) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE campaign.campaigns SET constants = jsonb_set(constants, ARRAY[$2, $3, 'id'], to_jsonb($5::text))
		 WHERE id = $1 AND constants #>> ARRAY[$2, $3, 'id'] = $4`, m.Campaign, m.Slot, string(m.Kind), m.MediaID, newID)
	return wrap("replace a header file", err)
}

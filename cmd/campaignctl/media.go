package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
	"github.com/campaignd/campaignd/internal/planning"
	"github.com/campaignd/campaignd/internal/postgres"
)

// maxMedium is the provider's bound for documents; other kinds have less.
const maxMedium = 100 << 20

// readMedium reads a local header file, and checks its type and size before
// anything is sent.
func readMedium(m *campaign.Media) (data []byte, contentType string, err error) {
	info, err := os.Stat(m.File)
	if err != nil {
		return nil, "", fileError(m.File, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxMedium {
		return nil, "", campaign.ErrInvalid.With(fmt.Sprintf("%s is no file of at most %d MB", m.File, maxMedium>>20), "")
	}
	if data, err = os.ReadFile(m.File); err != nil {
		return nil, "", fileError(m.File, err)
	}
	contentType = dialog360.MediaType(m.File, data[:min(len(data), 512)])
	if err := dialog360.CheckMedia(m.Kind, contentType, int64(len(data))); err != nil {
		return nil, "", fmt.Errorf("%s: %w", m.File, err)
	}
	return data, contentType, nil
}

// upload gives the provider's id of a local file: that of an earlier upload on
// this channel when it lives long enough, a new one otherwise.
func (p *program) upload(ctx context.Context, s *postgres.Store, client *dialog360.Client, ch campaign.Channel, m *campaign.Media, atLeast time.Duration) (string, error) {
	data, contentType, err := readMedium(m)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	// Kept, so that a daemon can upload it again before the provider forgets it.
	if _, err := s.SaveFile(ctx, postgres.File{Name: filepath.Base(m.File), ContentType: contentType, Content: data}); err != nil {
		return "", err
	}
	id, err := s.Media(ctx, ch.ID, sum, atLeast)
	if err != nil || id != "" {
		return id, err
	}
	begun := time.Now()
	if id, err = client.UploadFile(ctx, m.Kind, m.File); err != nil {
		return "", fmt.Errorf("upload %s: %w", m.File, err)
	}
	p.note("uploaded %s", m.File)
	return id, s.SaveMedia(ctx, ch.ID, sum, id, begun.Add(planning.MediaLife))
}

// uploadParameters replaces local files by what they are at the provider.
func (p *program) uploadParameters(ctx context.Context, s *postgres.Store, client *dialog360.Client, ch campaign.Channel, parameters campaign.Parameters) error {
	for _, v := range parameters {
		if v.Media == nil || v.Media.File == "" {
			continue
		}
		id, err := p.upload(ctx, s, client, ch, v.Media, planning.MediaSpare)
		if err != nil {
			return err
		}
		v.Media.ID, v.Media.File = id, ""
	}
	return nil
}

// checkMedia refuses a plan whose uploaded files the provider is about to forget:
// its messages would be taken and fail one by one. A file that is no longer here
// cannot be compared, and is left to the provider.
func checkMedia(ctx context.Context, s *postgres.Store, id campaign.ID) error {
	found, err := s.Campaign(ctx, strconv.FormatInt(int64(id), 10))
	if err != nil {
		return err
	}
	stored, err := s.CampaignConstants(ctx, id)
	if err != nil {
		return err
	}
	planned := campaign.Parameters{}
	if err := planned.UnmarshalJSON(stored); err != nil {
		return fmt.Errorf("read the constants of campaign %d: %w", id, err)
	}
	for _, slot := range slices.Sorted(maps.Keys(found.Spec.Parameters)) {
		constant := found.Spec.Parameters[slot].Constant
		if constant == nil || constant.Media == nil || constant.Media.File == "" {
			continue
		}
		data, _, err := readMedium(constant.Media)
		if err != nil {
			continue
		}
		known, err := s.Media(ctx, found.ChannelID, sha256.Sum256(data), planning.MediaSpare)
		if err != nil {
			return err
		}
		if used := planned[slot].Media; used == nil || used.ID != known {
			return campaign.ErrGuard.With(
				fmt.Sprintf("parameters.%s: %s changed since the plan, or the provider forgets it within a day", slot, constant.Media.File),
				"plan again: campaignctl campaign plan -f FILE --replace")
		}
	}
	return nil
}

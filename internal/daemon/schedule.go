package daemon

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
	"github.com/campaignd/campaignd/internal/planning"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/schedule"
)

// planner plans and starts what services and schedules ask for, and keeps the
// header files of open campaigns alive at the provider.
type planner struct {
	store *postgres.Store
	log   *slog.Logger
	woken chan struct{}
}

func newPlanner(store *postgres.Store, log *slog.Logger) *planner {
	return &planner{store: store, log: log, woken: make(chan struct{}, 1)}
}

const (
	// planEvery finds what no notification told of: schedules, retries, what a dead
	// daemon left.
	planEvery = 500 * time.Millisecond
	// listenAgain is the pause after the connection that listens was lost.
	listenAgain = 2 * time.Second
	// mediaEvery is how often uploads are looked at.
	mediaEvery = time.Hour
)

// watchSchedules asks for the campaigns of schedules when their moments come. It
// is a component of its own: a large plan must not make the next moment late.
func (p *planner) watchSchedules(ctx context.Context) error {
	runner := &schedule.Runner{Store: p.store, Log: p.log}
	return every(ctx, planEvery, nil, func() {
		now, err := p.store.Now(ctx)
		if err == nil {
			err = runner.Pass(ctx, now)
		}
		p.report(ctx, "cannot look at the schedules", err)
	})
}

// planRequests plans and starts what was asked for.
func (p *planner) planRequests(ctx context.Context) error {
	requests := &planning.Requests{Store: p.store, Upload: p.upload, Log: p.log}
	return every(ctx, planEvery, p.woken, func() {
		for more := true; more && ctx.Err() == nil; {
			now, err := p.store.Now(ctx)
			if err == nil {
				more, err = requests.Pass(ctx, now)
			}
			p.report(ctx, "cannot plan what was asked for", err)
			more = more && err == nil
		}
	})
}

// listen wakes planRequests as soon as somebody asks.
func (p *planner) listen(ctx context.Context) error {
	for ctx.Err() == nil {
		err := p.store.AwaitRequests(ctx, func() {
			select {
			case p.woken <- struct{}{}:
			default:
			}
		})
		p.report(ctx, "cannot listen for requests; they are looked for instead", err)
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
	return nil
}

// every runs a pass at once, whenever it is woken and every so often.
func every(ctx context.Context, period time.Duration, woken <-chan struct{}, pass func()) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		pass()
		select {
		case <-ctx.Done():
			return nil
		case <-woken:
		case <-tick.C:
		}
	}
}

func (p *planner) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		p.log.Error(what, "error", err)
	}
}

// upload gives the provider's id of a stored file, an earlier one where that
// lives long enough.
func (p *planner) upload(ctx context.Context, ch campaign.Channel, kind campaign.SlotKind, sum string, atLeast time.Duration) (string, error) {
	var hash [32]byte
	if n, err := hex.Decode(hash[:], []byte(sum)); err != nil || n != len(hash) {
		return "", campaign.ErrInvalid.With("a header file has no SHA-256", "")
	}
	if id, err := p.store.Media(ctx, ch.ID, hash, atLeast); err != nil || id != "" {
		return id, err
	}
	file, err := p.store.File(ctx, sum)
	if err != nil {
		return "", err
	}
	c, err := newClient(ch, 1)
	if err != nil {
		return "", err
	}
	defer c.Close()
	begun := time.Now()
	id, err := c.UploadMedia(ctx, dialog360.Upload{Kind: kind, Name: file.Name, Type: file.ContentType, Size: int64(len(file.Content)), Body: bytes.NewReader(file.Content)})
	if err != nil {
		return "", fmt.Errorf("upload %s: %w", file.Name, err)
	}
	return id, p.store.SaveMedia(ctx, ch.ID, hash, id, begun.Add(planning.MediaLife))
}

// sourceMedia holds a campaign whose header file the provider is about to forget.
const sourceMedia = "media"

// refreshBefore is how long before its end an upload is replaced.
const refreshBefore = 3 * 24 * time.Hour

// keepMedia uploads header files again that the provider is about to forget while
// their campaigns still send them, and holds campaigns where that cannot be done:
// their messages would be taken and fail one by one.
func (p *planner) keepMedia(ctx context.Context) error {
	return every(ctx, mediaEvery, nil, func() {
		p.report(ctx, "cannot forget old header files", p.store.ForgetFiles(ctx))
		p.report(ctx, "cannot forget old requests", p.store.ForgetRequests(ctx))
		aging, err := p.store.AgingMedia(ctx, refreshBefore)
		p.report(ctx, "cannot look at the header files of campaigns", err)
		for _, m := range aging {
			p.report(ctx, "cannot keep a header file alive", p.refresh(ctx, m))
		}
	})
}

func (p *planner) refresh(ctx context.Context, m postgres.AgingMedia) error {
	log := p.log.With("campaign_id", m.Campaign, "slot", m.Slot)
	var failure error = campaign.ErrNotFound.With("its bytes are not stored", "")
	if m.Stored {
		var id string
		if id, failure = p.upload(ctx, m.Channel, m.Kind, m.SHA256, planning.MediaLife-refreshBefore); failure == nil {
			if err := p.store.ReplaceMedia(ctx, m, id); err != nil {
				return err
			}
			log.Info("a header file was uploaded again before the provider forgets it")
			_, err := p.store.LiftHold(ctx, campaign.HoldCampaign, int64(m.Campaign), sourceMedia)
			return err
		}
	}
	if ctx.Err() != nil || time.Until(m.ExpiresAt) > planning.MediaSpare {
		log.Warn("a header file cannot be uploaded again yet", "expires_at", m.ExpiresAt, "error", failure)
		return nil //nolint:nilerr // tried again in an hour, and held for in time
	}
	log.Warn("held: the provider forgets a header file", "expires_at", m.ExpiresAt)
	return p.store.PutHold(ctx, campaign.Hold{Scope: campaign.HoldCampaign, ScopeID: int64(m.Campaign), Source: sourceMedia,
		Reason: fmt.Sprintf("the provider forgets the header file of parameters.%s at %s, and it could not be uploaded again: %s; plan what is left anew, under another key",
			m.Slot, m.ExpiresAt.UTC().Format(time.RFC3339), failure)})
}

package planning

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
)

// RequestStore is what carrying out requests needs of the database.
type RequestStore interface {
	Store
	DueRequests(ctx context.Context, now time.Time, limit int) ([]campaign.LaunchRequest, error)
	HoldRequest(ctx context.Context, id int64, work func(campaign.LaunchRequest) error) (bool, error)
	FinishRequest(ctx context.Context, r campaign.LaunchRequest) error
	DelayRequest(ctx context.Context, r campaign.LaunchRequest, problem string, until time.Time) error
	FailRequest(ctx context.Context, r campaign.LaunchRequest, reason string) error
	Launch(ctx context.Context, id campaign.ID) (campaign.State, bool, error)
}

// Requests plans and starts the campaigns that services and schedules asked for.
// Any number may work at a time, and each may die at any moment: the plan is one
// transaction that happens once, the start another.
type Requests struct {
	Store RequestStore
	// Upload gives the provider's id of a stored file: its hexadecimal SHA-256.
	Upload func(ctx context.Context, ch campaign.Channel, kind campaign.SlotKind, sha256 string, atLeast time.Duration) (id string, err error)
	Log    *slog.Logger
}

// passSize is how many requests one pass looks at.
const passSize = 50

// Pass carries out what is due, one after the other. It reports whether something
// is left that it did not get to.
func (q *Requests) Pass(ctx context.Context, now time.Time) (more bool, err error) {
	due, err := q.Store.DueRequests(ctx, now, passSize)
	if err != nil {
		return false, err
	}
	begun := time.Now()
	var failed error // of one request, which does not keep the others waiting
	for _, r := range due {
		_, err := q.Store.HoldRequest(ctx, r.ID, func(r campaign.LaunchRequest) error {
			return q.carryOut(ctx, r, now.Add(time.Since(begun)))
		})
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("carry out the request for campaign %d: %w", r.Campaign, err))
		}
	}
	return len(due) == passSize, failed
}

func (q *Requests) carryOut(ctx context.Context, r campaign.LaunchRequest, now time.Time) error {
	log := q.Log.With("campaign_id", r.Campaign)
	switch {
	case r.State != campaign.Draft:
		// A person cancelled or discarded it, or launched it when the daemon that had
		// planned it was gone.
		return q.Store.FinishRequest(ctx, r)
	case now.After(r.ExpiresAt):
		reason := "no daemon could start it in time"
		if r.Problem != "" {
			reason += ": " + r.Problem
		}
		log.Warn("a requested campaign was cancelled: its time has passed")
		return q.Store.FailRequest(ctx, r, reason)
	}
	if err := q.planAndStart(ctx, r, now); err != nil {
		return q.failed(ctx, r, err, now)
	}
	log.Info("a requested campaign was planned and launched")
	return q.Store.FinishRequest(ctx, r)
}

// planAndStart takes up where the daemon before this one died.
func (q *Requests) planAndStart(ctx context.Context, r campaign.LaunchRequest, now time.Time) error {
	eligible := r.Eligible
	if !r.Planned {
		plan, err := q.plan(ctx, r, now)
		if err != nil {
			return fmt.Errorf("it cannot be planned: %w", err)
		}
		eligible = plan.Eligible
	}
	if !r.Expect.Holds(eligible) {
		are := "recipients are"
		if eligible == 1 {
			are = "recipient is"
		}
		return campaign.ErrGuard.With(fmt.Sprintf("it was planned and not started: %d %s eligible, which is not what --expect-recipients allows", eligible, are),
			"look at the list, and at the skip reasons of its plan")
	}
	if _, _, err := q.Store.Launch(ctx, r.Campaign); err != nil {
		return fmt.Errorf("it was planned and cannot be started: %w", err)
	}
	return nil
}

func (q *Requests) plan(ctx context.Context, r campaign.LaunchRequest, now time.Time) (campaign.Plan, error) {
	spec, err := SpecOf(r)
	if err != nil {
		return campaign.Plan{}, err
	}
	return Create(ctx, q.Store, Input{
		Spec: spec, Campaign: r.Campaign, Now: now,
		Upload: func(ctx context.Context, ch campaign.Channel, m *campaign.Media) (string, error) {
			sum, ok := r.Files[m.File]
			if !ok {
				return "", campaign.ErrInvalid.With(fmt.Sprintf("the file %s was not stored", m.File), "launch it with campaignctl, which stores its files")
			}
			return q.Upload(ctx, ch, m.Kind, sum, MediaNeed(spec, now))
		},
	})
}

// SpecOf reads the campaign that a request asks for. Its name and its key are
// those that its row took.
func SpecOf(r campaign.LaunchRequest) (campaign.Spec, error) {
	var asOf time.Time
	if r.AsOf != nil {
		asOf = *r.AsOf
	}
	spec, err := audience.ParseSpecAt(r.Document, "", asOf)
	if err != nil {
		return campaign.Spec{}, err
	}
	if spec.Audience.File != "" {
		return campaign.Spec{}, campaign.ErrInvalid.With("audience.file: a daemon has no such file", "import it and name the list: campaignctl contact import")
	}
	spec.Name, spec.Key = r.Name, r.Key
	spec.Schedule.Cron, spec.Schedule.End = "", nil
	return spec, nil
}

// Retries of what may pass: the first gap, doubling up to the last.
const (
	firstGap = 5 * time.Second
	lastGap  = 5 * time.Minute
)

// failed cancels a campaign that cannot be planned or started as it was asked for, and has
// everything else tried again until its time has passed.
func (q *Requests) failed(ctx context.Context, r campaign.LaunchRequest, failure error, now time.Time) error {
	if ctx.Err() != nil {
		return failure // the next daemon goes on
	}
	log := q.Log.With("campaign_id", r.Campaign)
	reason := describe(failure)
	if !temporary(failure) {
		log.Warn("a requested campaign was cancelled; campaign status says why")
		return q.Store.FailRequest(ctx, r, reason)
	}
	gap := min(firstGap<<min(r.Tries, 16), lastGap)
	until := now.Add(gap)
	if until.After(r.ExpiresAt) {
		until = r.ExpiresAt.Add(time.Second)
	}
	log.Warn("a requested campaign cannot be planned or started yet; campaign status says why", "again", until)
	return q.Store.DelayRequest(ctx, r, reason, until)
}

// temporary reports whether the same request may succeed later: not what is wrong
// with the request, but a database, a provider, a key that this node lacks, or
// somebody who changed the template at that moment.
func temporary(err error) bool {
	var known *campaign.Error
	if !errors.As(err, &known) {
		return true
	}
	return known.Kind == campaign.Unavailing || known.Kind == campaign.Forbidden ||
		errors.Is(err, campaign.ErrConflict) || errors.Is(err, campaign.ErrSecret)
}

// describe gives a failure with its remedy, for "campaign status".
func describe(err error) string {
	reason := err.Error()
	var known *campaign.Error
	if errors.As(err, &known) && known.Hint != "" {
		reason += "; " + known.Hint
	}
	return reason
}

// Package planning freezes campaigns: it puts together a campaign file's
// channel, audience, template languages and header files, and has the plan
// stored. campaignctl does so for a person, the daemon for what services and
// schedules ask for. It must not know SQL, the terminal, or how a file gets to
// the provider.
package planning

import (
	"context"
	"fmt"
	"time"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

// Store is what a plan needs of the database.
type Store interface {
	Channel(ctx context.Context, name string) (campaign.Channel, error)
	List(ctx context.Context, name string) (campaign.List, error)
	TemplateLanguages(ctx context.Context, channel campaign.ChannelID, name string) ([]campaign.Template, error)
	CreatePlan(ctx context.Context, in postgres.PlanInput) (campaign.Launched, error)
}

// Input is a campaign to plan.
type Input struct {
	Spec campaign.Spec
	// Campaign is the row of a campaign that waits for its plan; zero makes one.
	Campaign campaign.ID
	// List gives the audience; nil means the list that the campaign file names.
	List func(context.Context) (campaign.List, error)
	// Upload gives the provider's id of a local header file.
	Upload func(context.Context, campaign.Channel, *campaign.Media) (id string, err error)
	Now    time.Time
}

// Create freezes a campaign. One that was planned before is returned as it is,
// with Created false. Errors are those of audience.NewPlanner and
// postgres.CreatePlan.
func Create(ctx context.Context, s Store, in Input) (campaign.Plan, error) {
	p, err := prepare(ctx, s, in)
	if err != nil {
		return campaign.Plan{}, err
	}
	launched, err := s.CreatePlan(ctx, postgres.PlanInput{
		Spec: in.Spec, Campaign: in.Campaign, Channel: p.channel.ID, List: p.list.ID, Planner: p.planner,
	})
	if err != nil {
		return campaign.Plan{}, err
	}
	return p.planner.Plan(launched), nil
}

// Prepare checks everything about a campaign that holds for every recipient, and
// stores nothing. The planner it gives decides about each of them.
func Prepare(ctx context.Context, s Store, in Input) (*audience.Planner, campaign.List, error) {
	p, err := prepare(ctx, s, in)
	return p.planner, p.list, err
}

type prepared struct {
	channel campaign.Channel
	list    campaign.List
	planner *audience.Planner
}

func prepare(ctx context.Context, s Store, in Input) (p prepared, err error) {
	if p.channel, err = s.Channel(ctx, in.Spec.Channel); err != nil {
		return p, err
	}
	list := in.List
	if list == nil {
		list = func(ctx context.Context) (campaign.List, error) { return s.List(ctx, ListName(in.Spec)) }
	}
	if p.list, err = list(ctx); err != nil {
		return p, err
	}
	templates, err := s.TemplateLanguages(ctx, p.channel.ID, in.Spec.Template.Name)
	if err != nil {
		return p, err
	}
	p.planner, err = audience.NewPlanner(audience.PlannerInput{
		Spec: in.Spec, Channel: p.channel, Templates: templates, List: p.list, Now: in.Now,
		Upload: func(m *campaign.Media) (string, error) { return in.Upload(ctx, p.channel, m) },
	})
	if err != nil {
		return p, fmt.Errorf("plan campaign %q: %w", in.Spec.Name, err)
	}
	return p, nil
}

// ListName is the list that a campaign is planned from: the one it names, or one
// of its own for the people of a file.
func ListName(spec campaign.Spec) string {
	switch {
	case spec.Audience.File == "":
		return spec.Audience.List
	case spec.Key == "":
		return spec.Name
	}
	return spec.Name + "/" + spec.Key
}

package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
	"github.com/campaignd/campaignd/internal/postgres"
)

// templateName is the template of every bench: marketing, with one parameter.
const templateName = "bench_sale"

const templateJSON = `{"waba_templates":[{"id":"1","name":"` + templateName + `","language":"en_US","status":"approved","category":"MARKETING",
"components":[{"type":"BODY","text":"Hello {{1}}, everything is 20 percent off until Sunday.","example":{"body_text":[["Ann"]]}}]}]}`

// channel makes a channel whose messages go to base, with the template on it.
func (d *database) channel(ctx context.Context, name, base string, rate float64) (campaign.Channel, error) {
	channels, err := d.Channels(ctx)
	if err != nil {
		return campaign.Channel{}, err
	}
	c, err := d.AddChannel(ctx, campaign.Channel{Name: name, Phone: fmt.Sprintf("+4930000%04d", len(channels)), BaseURL: base,
		KeyRef: "env:" + benchKeyName, WebhookSecretRef: "env:" + benchKeyName, Rate: rate})
	if err != nil {
		return c, err
	}
	templates, err := dialog360.ParseTemplates([]byte(templateJSON))
	if err != nil {
		return c, err
	}
	_, err = d.SyncTemplates(ctx, c.ID, templates)
	return c, err
}

// plan freezes a list under a campaign, as "campaign plan" does; rate is the
// campaign's own, 0 for the channel's.
func (d *database) plan(ctx context.Context, name string, c campaign.Channel, listName string, rate float64) (campaign.Launched, error) {
	none := campaign.Launched{}
	list, err := d.List(ctx, listName)
	if err != nil {
		return none, err
	}
	templates, err := d.TemplateLanguages(ctx, c.ID, templateName)
	if err != nil {
		return none, err
	}
	spec := campaign.Spec{Name: name, Channel: c.Name, Template: campaign.TemplateRef{Name: templateName, Language: "en_US"},
		Audience: campaign.Audience{List: listName}, Parameters: map[string]campaign.ParameterSource{"body.1": {Column: "first_name"}},
		Rate: rate, OnUnknown: "hold", USMarketing: "skip", USTerritories: "allow"}
	planner, err := audience.NewPlanner(audience.PlannerInput{Spec: spec, Channel: c, Templates: templates, List: list, Now: time.Now()})
	if err != nil {
		return none, err
	}
	launched, err := d.CreatePlan(ctx, postgres.PlanInput{Spec: spec, Channel: c.ID, List: list.ID, Planner: planner})
	if err != nil {
		return none, err
	}
	if launched.Eligible != launched.Total {
		return none, fmt.Errorf("plan %d of %d recipients: %v", launched.Eligible, launched.Total, launched.Skipped)
	}
	return launched, nil
}

// bareBody is a message's request as the client writes it, around the number
// that makes it one of its own.
func (d *database) bareBody(ctx context.Context, c campaign.Channel) (before, after string, err error) {
	templates, err := d.TemplateLanguages(ctx, c.ID, templateName)
	if err != nil {
		return "", "", err
	}
	body, err := dialog360.AppendMessage(nil, c.Dialect, &campaign.Request{To: "+4915100000001", Template: &templates[0],
		Parameters: campaign.Parameters{"body.1": {Text: "Name1"}}, Opaque: d.Deployment() + "/"})
	if err != nil {
		return "", "", err
	}
	return string(body[:len(body)-len(`"}`)]), `/1"}`, nil
}

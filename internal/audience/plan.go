package audience

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Row gives what the file said in the form in which it is stored.
func (c Contact) Row() campaign.ContactRow {
	return campaign.ContactRow{
		Number: int64(c.Line), Phone: c.Number.E164, MatchKey: c.MatchKey, Country: c.Number.Country, NANP: c.Number.NANP,
		Language: c.Language, TimeZone: c.TimeZone, Attributes: c.Attributes,
		OptIn: c.OptIn, OptInSource: c.OptInSource, OptInAt: c.OptInAt,
	}
}

// The columns that every contact has; the others are those of its list.
var builtInColumns = []string{"phone", "language", "time_zone", "country"}

const (
	previews        = 3  // rendered messages of a plan
	badExamples     = 20 // examples of bad parameters
	skippedExamples = 3  // of every other skip reason
)

// PlannerInput is what a plan is made from.
type PlannerInput struct {
	Spec      campaign.Spec
	Channel   campaign.Channel
	Templates []campaign.Template // all languages of the template on the channel
	List      campaign.List
	Now       time.Time
	// Upload turns a local header file into the provider's media id. Without it
	// such a file is an error.
	Upload func(*campaign.Media) (id string, err error)
}

// Planner decides who of a list gets which message. It is used once, by one
// goroutine. Contacts must come in the order of their match keys.
type Planner struct {
	spec      campaign.Spec
	rate      float64
	list      string
	templates []*planTemplate // the usable languages, the default first
	blocked   map[string]campaign.Template
	languages map[string]*planTemplate // choices already made, by the contact's language
	constants campaign.Parameters
	encoded   []byte // the constants as JSON
	varying   []varyingSlot

	hash     hash.Hash
	key      string // match key of the person at hand
	taken    bool   // that person has a message, or was skipped for what the person is
	values   campaign.Parameters
	row      campaign.Parameters // of values, what is stored with the message
	previews []campaign.Recipient
	examples map[string][]campaign.SkipExample
	warnings []string
	now      time.Time
	start    time.Time // now, or schedule.at where that is later
	places   map[string]*place
}

// planTemplate is one usable language.
type planTemplate struct {
	campaign.Template
	checker *campaign.Checker
}

// varyingSlot is a slot whose value comes from a column.
type varyingSlot struct {
	key    string
	source campaign.ParameterSource
}

// NewPlanner checks everything that holds for every recipient, and refuses what
// would fail for all of them: a template that is missing, not approved or of a
// kind that cannot be sent, a slot without a source, a source without a slot, a
// column that the list does not have, a constant that breaks a rule. Errors are
// campaign errors that name the remedy.
func NewPlanner(in PlannerInput) (*Planner, error) {
	p := &Planner{
		spec: in.Spec, list: in.List.Name, now: in.Now,
		rate:      campaign.EffectiveRate(in.Channel.Rate, in.Spec.Rate),
		blocked:   map[string]campaign.Template{},
		languages: map[string]*planTemplate{},
		constants: campaign.Parameters{}, values: campaign.Parameters{}, row: campaign.Parameters{},
		examples: map[string][]campaign.SkipExample{},
		hash:     sha256.New(),
	}
	for _, check := range []func(PlannerInput) error{p.checkSchedule, p.checkWindow, p.checkRetry, p.chooseTemplates, p.readSources, p.checkSlots, p.checkColumns} {
		if err := check(in); err != nil {
			return nil, err
		}
	}
	encoded, err := json.Marshal(p.constants)
	if err != nil {
		return nil, fmt.Errorf("write the constants: %w", err)
	}
	p.encoded = encoded
	p.begin(in)
	return p, nil
}

// begin starts the hash with everything that is the same for all recipients.
func (p *Planner) begin(in PlannerInput) {
	fmt.Fprintf(p.hash, "channel %d\nspec %s\nconstants %s\n", in.Channel.ID, in.Spec.Hash(), p.encoded)
	for _, t := range p.templates {
		slots, err := json.Marshal(struct {
			Slots []campaign.Slot
			Parts []campaign.Part
		}{t.Slots, t.Parts})
		if err != nil {
			panic("audience: a template cannot be written: " + err.Error()) // strings and numbers only
		}
		fmt.Fprintf(p.hash, "template %s %s %s %s\n", t.Name, t.Language, t.Category, slots)
	}
}

// Templates are the languages that the plan may use, the default first.
func (p *Planner) Templates() []campaign.Template {
	templates := make([]campaign.Template, len(p.templates))
	for i, t := range p.templates {
		templates[i] = t.Template
	}
	return templates
}

// Constants is the JSON of the parameters that are the same for everybody.
func (p *Planner) Constants() []byte { return p.encoded }

// Decide says what one contact gets. It fails only where the plan cannot go on:
// the contact's language is there but cannot be sent.
func (p *Planner) Decide(c *campaign.Contact, row int64) (campaign.PlannedMessage, error) {
	if c.MatchKey != p.key {
		p.key, p.taken = c.MatchKey, false
	}
	t, err := p.template(c)
	if err != nil {
		return campaign.PlannedMessage{}, err
	}
	m := campaign.PlannedMessage{TemplateID: t.ID, Skip: p.skip(c, t)}
	if m.Skip == "" {
		if problem, ok := p.fill(c, t); !ok {
			m.Skip = campaign.ReasonBadParameters
			problem.Row, problem.Phone = row, c.Phone
			p.example(m.Skip, badExamples, problem)
		} else if p.when(c, t.Marketing(), &m); m.Skip != "" {
			p.example(m.Skip, skippedExamples, campaign.SkipExample{Row: row, Phone: c.Phone})
		}
	} else {
		p.example(m.Skip, skippedExamples, campaign.SkipExample{Row: row, Phone: c.Phone})
	}
	// Whoever is skipped for bad parameters, or because nobody noted an opt-in of
	// this form of the number, may still be reached under another one; whoever
	// opted out may not.
	p.taken = p.taken || m.Skip != campaign.ReasonBadParameters && m.Skip != campaign.ReasonNotOptedIn
	if m.Skip == "" {
		if len(p.row) > 0 {
			if m.Parameters, err = json.Marshal(p.row); err != nil {
				return m, fmt.Errorf("write the parameters of row %d: %w", row, err)
			}
		}
		p.preview(c, t)
	}
	p.note(c.Phone, t.Language, m.Skip)
	if m.ZoneSet != nil {
		p.note(m.ZoneSet.Key())
	}
	_, _ = p.hash.Write(m.Parameters) // never fails
	return m, nil
}

// note adds the words of one recipient to the hash, each closed by a byte that
// none of them contains.
func (p *Planner) note(words ...string) {
	for _, w := range words {
		_, _ = io.WriteString(p.hash, w) // never fails
		_, _ = p.hash.Write([]byte{0})
	}
}

// skip gives the reason why a person gets nothing, in the fixed order of
// reasons, or "".
func (p *Planner) skip(c *campaign.Contact, t *planTemplate) string {
	if p.taken {
		return campaign.ReasonDuplicate
	}
	return c.Person(p.spec.USTerritories == "skip").Skip(t.Marketing(), p.spec.PersonRules())
}

func (p *Planner) example(reason string, most int, e campaign.SkipExample) {
	if len(p.examples[reason]) < most {
		p.examples[reason] = append(p.examples[reason], e)
	}
}

// column gives a contact's value by column name.
func column(c *campaign.Contact, name string) string {
	if value, ok := c.Attributes[name]; ok {
		return value
	}
	switch name {
	case "phone":
		return c.Phone
	case "language":
		return c.Language
	case "time_zone":
		return c.TimeZone
	case "country":
		return c.Country
	}
	return ""
}

// fill gives every slot its value and checks them; false comes with the first
// rule that one breaks.
func (p *Planner) fill(c *campaign.Contact, t *planTemplate) (campaign.SkipExample, bool) {
	clear(p.values)
	clear(p.row)
	maps.Copy(p.values, p.constants)
	for _, v := range p.varying {
		text := column(c, v.source.Column)
		if strings.TrimSpace(text) == "" && v.source.Default != nil {
			text = *v.source.Default
		}
		if text == "" {
			continue // missing where it is required, left out elsewhere
		}
		value := campaign.Value{Text: text}
		if v.source.Media != "" {
			value = campaign.Value{Media: mediumOf(v.source.Media, text)}
		}
		p.values[v.key], p.row[v.key] = value, value
	}
	problems := t.checker.Check(p.values)
	if len(problems) == 0 {
		return campaign.SkipExample{}, true
	}
	first := problems[0]
	return campaign.SkipExample{Column: p.spec.Parameters[first.Slot].Column, Problem: first.String()}, false
}

// mediumOf reads a cell that holds a link or a media id.
func mediumOf(kind campaign.SlotKind, cell string) *campaign.Media {
	cell = strings.TrimSpace(cell)
	if strings.Contains(cell, "://") {
		return &campaign.Media{Kind: kind, Link: cell}
	}
	return &campaign.Media{Kind: kind, ID: cell}
}

func (p *Planner) preview(c *campaign.Contact, t *planTemplate) {
	if len(p.previews) == previews {
		return
	}
	values := maps.Clone(p.values)
	p.previews = append(p.previews, campaign.Recipient{Phone: c.Phone, Language: t.Language, Parameters: values, Text: t.Render(values)})
}

// Hash covers the template, the constants, and every decision in its order.
func (p *Planner) Hash() string { return hex.EncodeToString(p.hash.Sum(nil)) }

// Plan is what a person wants to see of the campaign before it is launched. Of a
// campaign that was planned before, previews and examples are those of nobody.
func (p *Planner) Plan(l campaign.Launched) campaign.Plan {
	plan := campaign.Plan{Launched: l, Previews: p.previews, Examples: p.examples, Warnings: slices.Concat(p.warnings, p.missedWarnings())}
	if l.Eligible == 0 {
		return plan
	}
	if p.spec.Schedule.HasWindow() {
		p.forecast(&plan)
		return plan
	}
	first := p.start.UTC().Truncate(time.Second)
	plan.FirstAt = &first
	if p.rate > 0 {
		seconds := min(float64(l.Eligible-1)/p.rate, 1e9) // a rate of 1/h must not overflow
		last := first.Add(time.Duration(seconds * float64(time.Second))).Truncate(time.Second)
		plan.LastAt = &last
	}
	if end := p.spec.Schedule.NotAfter; end != nil && plan.LastAt != nil && !plan.LastAt.Before(*end) {
		late := l.Eligible - int64(math.Ceil(end.Sub(first).Seconds()*p.rate))
		plan.Warnings = append(plan.Warnings, fmt.Sprintf("at %.4g messages/s about %d messages would not be sent before schedule.not_after (%s)",
			p.rate, late, end.Format(time.RFC3339)))
	}
	return plan
}

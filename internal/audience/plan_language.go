package audience

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/campaignd/campaignd/internal/campaign"
)

// template chooses the language: the contact's own, another of the same
// language, the default.
func (p *Planner) template(c *campaign.Contact) (*planTemplate, error) {
	from := p.spec.Template.LanguageFrom
	if from == "" {
		return p.templates[0], nil
	}
	wanted := campaign.NormalizeLanguage(column(c, from))
	if chosen, ok := p.languages[wanted]; ok {
		return chosen, nil
	}
	chosen, err := p.chooseLanguage(wanted)
	if err != nil {
		return nil, err
	}
	// Cells are free text: a list of a million different ones must not be kept.
	if len(p.languages) < 1000 {
		p.languages[wanted] = chosen
	}
	return chosen, nil
}

func (p *Planner) chooseLanguage(wanted string) (*planTemplate, error) {
	if wanted == "" {
		return p.templates[0], nil
	}
	spoken, _, _ := strings.Cut(wanted, "_")
	var near []string // of the same language, as good or better first
	for _, t := range p.templates {
		near = append(near, t.Language)
	}
	near = slices.AppendSeq(near, maps.Keys(p.blocked))
	near = slices.DeleteFunc(near, func(code string) bool {
		base, _, _ := strings.Cut(code, "_")
		return base != spoken
	})
	if len(near) == 0 {
		return p.templates[0], nil
	}
	rank := func(code string) int {
		switch code {
		case wanted:
			return 0
		case p.templates[0].Language:
			return 1
		case spoken:
			return 2
		}
		return 3
	}
	slices.SortFunc(near, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	if t, ok := p.blocked[near[0]]; ok {
		if err := usable(t); err != nil {
			return nil, p.languageError(wanted, err)
		}
		return nil, p.languageError(wanted, errors.New(strings.Join(t.Problems, "; ")))
	}
	i := slices.IndexFunc(p.templates, func(t *planTemplate) bool { return t.Language == near[0] })
	return p.templates[i], nil
}

func (p *Planner) languageError(wanted string, why error) error {
	return campaign.ErrTemplate.With(fmt.Sprintf("contacts with language %s would get it, but %v", wanted, why),
		"put the template right and run template sync, or name one language for everybody")
}

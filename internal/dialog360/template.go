package dialog360

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/campaignd/campaignd/internal/campaign"
)

// ParseTemplates reads templates in any shape they come in: a list as the
// Graph-like endpoint gives it ({"data":[…]}), as 360dialog's own does
// ({"waba_templates":[…]}), a bare array, one listed template, or the body that
// creates one (whatsapp-facts §1.3). What is wrong with a template is among its
// Problems and costs none of its neighbours; the error, campaign.ErrInvalid, is
// for a body that is no template at all.
func ParseTemplates(body []byte) ([]campaign.Template, error) {
	root, err := document(body)
	if err != nil {
		return nil, campaign.ErrInvalid.With(err.Error(), "")
	}
	list, ok := templateList(root)
	if !ok {
		return nil, campaign.ErrInvalid.With("no template found",
			`expected a template with "name" and "components", or a list of them under "data" or "waba_templates"`)
	}
	templates := []campaign.Template{}
	for element := range list.elements() {
		templates = append(templates, readTemplate(element))
	}
	return templates, nil
}

func templateList(root raw) (raw, bool) {
	if root.isArray() {
		return root, true
	}
	for _, key := range [...]string{"data", "waba_templates"} {
		if list := root.get(key); list.isArray() || list.isObject() {
			return list, true
		}
	}
	return root, root.has("components") || root.has("name") && root.has("language")
}

// templateReader collects what the components of one template say.
type templateReader struct {
	template campaign.Template
	explicit bool   // parameter_format was given
	legible  bool   // nothing stands in the way of filling its slots
	prefix   string // of the slots of a card: "card.0."
	offer    bool   // has a limited-time offer
	body     bool
	numbered string // the first positional placeholder of header or body
	named    string // the first named one
}

func readTemplate(t raw) campaign.Template {
	r := &templateReader{legible: true}
	if !t.isObject() {
		r.fault("is not an object")
		return r.template
	}
	r.readHead(t)
	components := t.get("components")
	r.template.Components = bytes.Clone(components)
	r.readComponents(components)
	r.settleFormat()
	r.template.Sendable = r.legible
	return r.template
}

// fault notes what makes a template impossible to fill.
func (r *templateReader) fault(format string, arguments ...any) {
	r.legible = false
	r.notice(format, arguments...)
}

// notice notes what looks wrong but does not hinder sending: the provider
// approved what it lists, and its limits change.
func (r *templateReader) notice(format string, arguments ...any) {
	// Ten cards with the same fault are one problem.
	if p := fmt.Sprintf(format, arguments...); !slices.Contains(r.template.Problems, p) {
		r.template.Problems = append(r.template.Problems, p)
	}
}

// unsupported notes a kind that is read but cannot be filled yet.
func (r *templateReader) unsupported(what string) {
	r.fault("%s cannot be sent by this version", what)
}

func (r *templateReader) readHead(t raw) {
	language := t.get("language")
	if language.isObject() { // as in a send request
		language = language.get("code")
	}
	quality := t.get("quality_score")
	if quality.isObject() {
		quality = quality.get("score")
	}
	r.template.ProviderID = t.get("id").text()
	r.template.Name = strings.TrimSpace(t.get("name").text())
	r.template.Language = campaign.NormalizeLanguage(language.text())
	r.template.Status = strings.ToUpper(t.get("status").text())
	r.template.Category = strings.ToUpper(t.get("category").text())
	r.template.Quality = strings.ToUpper(quality.text())
	r.template.Format = strings.ToUpper(t.get("parameter_format").text())
	r.explicit = r.template.Format != ""

	switch name := r.template.Name; {
	case name == "":
		r.fault("the name is missing")
	case len(name) > maxName:
		r.notice("the name is %d characters long, %d at most", len(name), maxName)
	case strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || strings.ContainsFunc(name, notInName):
		r.notice("the name %q has other characters than a-z, 0-9 and _", name)
	}
	if r.template.Language == "" {
		r.fault("the language is missing")
	}
	if r.template.Category == "" {
		r.notice("the category is missing")
	}
	switch r.template.Format {
	case "", campaign.FormatPositional, campaign.FormatNamed:
	default:
		r.fault("the parameter format %q is not known", r.template.Format)
	}
}

func notInName(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_')
}

// settleFormat decides between positional and named. A missing format means
// positional (whatsapp-facts §1.3), but a list that does not carry the field
// still shows the names.
func (r *templateReader) settleFormat() {
	if !r.explicit {
		r.template.Format = campaign.FormatPositional
		if r.named != "" && r.numbered == "" {
			r.template.Format = campaign.FormatNamed
		}
	}
	switch {
	case r.named != "" && r.numbered != "":
		r.fault("positional and named placeholders are mixed: {{%s}} and {{%s}}", r.numbered, r.named)
	case r.template.Format == campaign.FormatPositional && r.named != "":
		r.fault("the format is positional but {{%s}} is a name", r.named)
	case r.template.Format == campaign.FormatNamed && r.numbered != "":
		r.fault("the format is named but {{%s}} is a number", r.numbered)
	}
}

// placeholders notes the placeholders of a header or body text as slots, and
// gives how many different ones there are. Positional ones become slots in the
// order of their numbers, named ones in the order of appearance.
func (r *templateReader) placeholders(where, text string) int {
	seen := map[string]bool{}
	var names []string
	for _, p := range campaign.Placeholders(text) {
		switch {
		case p.Positional() && len(p.Name) < 6:
			if r.numbered == "" {
				r.numbered = p.Name
			}
		case p.Named():
			if r.named == "" {
				r.named = p.Name
			}
		default:
			r.fault("{{%s}} in the %s is no placeholder: a number, or a name of a-z, 0-9 and _", p.Name, where)
			continue
		}
		if !seen[p.Name] {
			seen[p.Name] = true
			names = append(names, p.Name)
		}
	}
	sortNumbers(names)
	for i, name := range names {
		if number, ok := raw(name).integer(); ok && number != i+1 {
			r.fault("the placeholders of the %s are not numbered from {{1}} without a gap: {{%d}} is missing", where, i+1)
			break
		}
	}
	for _, name := range names {
		r.slot(where+"."+name, campaign.SlotText, true)
	}
	return len(names)
}

func (r *templateReader) slot(key string, kind campaign.SlotKind, required bool) {
	r.template.Slots = append(r.template.Slots, campaign.Slot{Key: r.prefix + key, Kind: kind, Required: required})
}

func (r *templateReader) part(p campaign.Part) {
	p.Kind = r.prefix + p.Kind
	r.template.Parts = append(r.template.Parts, p)
}

// tooLong notes a text of the template that is longer than the provider allows.
func (r *templateReader) tooLong(what, text string, limit int) {
	if n := utf8.RuneCountInString(text); n > limit {
		r.notice("the %s is %d characters long, %d at most", what, n, limit)
	}
}

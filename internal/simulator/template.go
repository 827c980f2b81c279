package simulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// template is a message template as the provider stores it, with what a send has
// to bring, derived from its components. It does not change once made: a new
// status makes a new one.
type template struct {
	id         string // digits; an integer in webhooks
	name       string
	language   string
	status     string // upper case
	category   string // upper case
	named      bool
	components []any
	extra      map[string]any // everything else of the object, returned as it came

	needs templatePart
	offer bool // LIMITED_TIME_OFFER with an expiry
	cards []templatePart
	// Product carousels may be sent with another number of cards than they
	// were approved with (whatsapp-facts §2.3).
	productCards bool
}

type templatePart struct {
	headerFormat string // TEXT, IMAGE …; empty: no header
	header       text
	body         text
	buttons      []templateButton
}

// text is a text with placeholders.
type text struct {
	fixed int      // characters around the placeholders
	names []string // in order of first use; positional ones are "1", "2", …
	uses  []int    // how often each occurs
}

type templateButton struct {
	kind    string // upper case type; OTP also where a list says URL with an otp_type
	url     text
	dynamic bool
}

// parseText finds {{1}} and {{name}}. Braces that do not close are plain text.
func parseText(s string) text {
	var t text
	for {
		start := strings.Index(s, "{{")
		end := -1
		if start >= 0 {
			end = strings.Index(s[start:], "}}")
		}
		if end < 0 {
			t.fixed += len([]rune(s))
			return t
		}
		name := strings.TrimSpace(s[start+2 : start+end])
		t.fixed += len([]rune(s[:start]))
		if i := slices.Index(t.names, name); i >= 0 {
			t.uses[i]++
		} else {
			t.names, t.uses = append(t.names, name), append(t.uses, 1)
		}
		s = s[start+end+2:]
	}
}

// wireTemplate is a template in a create body or in a list of either shape.
type wireTemplate struct {
	Name            string `json:"name"`
	Language        string `json:"language"`
	Status          string `json:"status"`
	Category        string `json:"category"`
	ParameterFormat string `json:"parameter_format"`
	Components      []any  `json:"components"`
}

// newTemplate reads a template object. Without a status it is APPROVED, without
// an id it gets one made from its name and language.
func newTemplate(raw []byte) (*template, error) {
	var w wireTemplate
	if err := json.Unmarshal(raw, &w); err != nil {
		return nil, fmt.Errorf("not a template: %w", err)
	}
	t := &template{
		name: w.Name, language: w.Language, status: strings.ToUpper(w.Status), category: strings.ToUpper(w.Category),
		named: strings.EqualFold(w.ParameterFormat, "NAMED"), components: w.Components,
	}
	if err := json.Unmarshal(raw, &t.extra); err != nil {
		return nil, fmt.Errorf("not a template: %w", err)
	}
	switch {
	case t.name == "" || len(t.name) > maxTemplateName || validTemplateName(&checker{}, t.name) != nil:
		return nil, fmt.Errorf("template name %q: must be 1 to %d lower case letters, digits and underscores", t.name, maxTemplateName)
	case t.language == "":
		return nil, fmt.Errorf("template %q: language is missing", t.name)
	case t.category == "":
		return nil, fmt.Errorf("template %q: category is missing", t.name)
	case len(t.components) == 0:
		return nil, fmt.Errorf("template %q: components are missing", t.name)
	}
	// Lists of templates in the older shape spell approved and submitted.
	switch t.status {
	case "":
		t.status = "APPROVED"
	case "SUBMITTED":
		t.status = "PENDING"
	}
	t.id, _ = t.extra["id"].(string)
	if t.id == "" || !only(t.id, func(b byte) bool { return b >= '0' && b <= '9' }) {
		// Below 2^53, because webhooks carry it as a JSON number.
		t.id = fmt.Sprint(1_000_000_000_000_000 + hash(0, t.name, t.language)%9_000_000_000_000)
	}
	for _, known := range []string{"id", "name", "language", "status", "category", "parameter_format", "components", "namespace"} {
		delete(t.extra, known)
	}
	return t, t.derive()
}

func (t *template) derive() error {
	if err := t.needs.read(t.components, t); err != nil {
		return fmt.Errorf("template %q: %w", t.name, err)
	}
	return nil
}

func (p *templatePart) read(components []any, t *template) error {
	for _, item := range components {
		c, ok := item.(map[string]any)
		if !ok {
			return fmt.Errorf("a component is not an object")
		}
		word, _ := c["text"].(string)
		switch kind, _ := c["type"].(string); strings.ToUpper(kind) {
		case "HEADER":
			format, _ := c["format"].(string)
			p.headerFormat = strings.ToUpper(format)
			if p.headerFormat == "" {
				p.headerFormat = "TEXT"
			}
			p.header = parseText(word)
		case "BODY":
			p.body = parseText(word)
			if t.category == "AUTHENTICATION" && len(p.body.names) == 0 {
				// The text is the provider's own and has one place: the code.
				p.body = parseText("{{1}}")
			}
		case "BUTTONS":
			buttons, _ := c["buttons"].([]any)
			for _, b := range buttons {
				if b, ok := b.(map[string]any); ok {
					p.buttons = append(p.buttons, newTemplateButton(b))
				}
			}
		case "LIMITED_TIME_OFFER":
			if offer, ok := c["limited_time_offer"].(map[string]any); ok {
				t.offer, _ = offer["has_expiration"].(bool)
			}
		case "CAROUSEL":
			cards, _ := c["cards"].([]any)
			for _, item := range cards {
				card, _ := item.(map[string]any)
				parts, _ := card["components"].([]any)
				var cp templatePart
				if err := cp.read(parts, t); err != nil {
					return err
				}
				t.cards = append(t.cards, cp)
				t.productCards = t.productCards || cp.headerFormat == "PRODUCT"
			}
		}
	}
	return nil
}

func newTemplateButton(b map[string]any) templateButton {
	kind, _ := b["type"].(string)
	url, _ := b["url"].(string)
	button := templateButton{kind: strings.ToUpper(kind), url: parseText(url)}
	button.dynamic = len(button.url.names) > 0
	if _, ok := b["otp_type"]; ok || strings.Contains(url, "otp_type") {
		button.kind = "OTP" // lists show it as a URL button
	}
	return button
}

// with returns a copy in another status.
func (t *template) with(status string) *template {
	c := *t
	c.status = status
	return &c
}

// object is the template as lists show it. lower asks for the older list's
// lower case status.
func (t *template) object(lower bool) map[string]any {
	o := make(map[string]any, len(t.extra)+7)
	for k, v := range t.extra {
		o[k] = v
	}
	o["id"], o["name"], o["language"], o["category"], o["components"] = t.id, t.name, t.language, t.category, t.components
	o["parameter_format"] = "POSITIONAL"
	if t.named {
		o["parameter_format"] = "NAMED"
	}
	o["status"] = t.status
	if lower {
		o["status"] = strings.ToLower(t.status)
	}
	return o
}

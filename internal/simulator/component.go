package simulator

import (
	"fmt"
	"slices"
	"strings"
)

var (
	templateShape = &shape{kind: kindObject, fields: []field{
		{"name", true, &shape{kind: kindString, min: 1, max: maxTemplateName, valid: validTemplateName}},
		{"language", true, &shape{kind: kindObject, fields: []field{
			{"code", true, &shape{kind: kindString, min: 1, max: 35, valid: validLanguage}},
			{"policy", false, &shape{kind: kindString, enum: []string{"deterministic"}}},
		}}},
		{"components", false, &shape{kind: kindArray}},
	}}
	oldTemplateShape = &shape{kind: kindObject, fields: append(slices.Clone(templateShape.fields),
		field{"namespace", false, anyID})}
)

// The one sample of a template send in Meta's API description is filled with
// these words, and is otherwise a valid one.
const (
	sampleName     = "template-name"
	sampleLanguage = "language-and-locale-code"
)

func validTemplateName(c *checker, s string) *refusal {
	if only(s, func(b byte) bool { return b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' }) {
		return nil
	}
	if c.placeholders && (s == sampleName || isPlaceholder(s)) {
		return nil
	}
	return refuse(100, "must be lower case letters, digits and underscores")
}

// validLanguage wants the form of the send API, en or en_US; template webhooks
// write en-US, which a send does not accept (whatsapp-facts §0, trap 16).
func validLanguage(c *checker, s string) *refusal {
	tongue, region, hasRegion := strings.Cut(s, "_")
	lower := func(b byte) bool { return b >= 'a' && b <= 'z' }
	upper := func(b byte) bool { return b >= 'A' && b <= 'Z' }
	if (len(tongue) == 2 || len(tongue) == 3) && only(tongue, lower) &&
		(!hasRegion || len(region) == 2 && only(region, upper)) {
		return nil
	}
	if c.placeholders && (sampleLanguage == s || isPlaceholder(s)) {
		return nil
	}
	return refuse(132001, "must be a language code such as en or en_US")
}

var componentTypes = []string{"header", "body", "button", "carousel", "limited_time_offer", "tap_target_configuration", "order_status"}

func (c *checker) parseTemplate(v any) (*templateSend, *refusal) {
	s := templateShape
	if c.sandbox {
		s = oldTemplateShape
	}
	if r := c.check(v, s); r != nil {
		return nil, r
	}
	object := v.(map[string]any)
	language := object["language"].(map[string]any)
	t := &templateSend{name: object["name"].(string), language: language["code"].(string)}
	components, _ := object["components"].([]any)
	seen := map[string]bool{}
	for i, component := range components {
		if r := c.parseComponent(t, &t.part, component, false, seen); r != nil {
			return nil, r.atIndex(i).at("components")
		}
	}
	return t, checkNaming(t)
}

// checkNaming refuses a mixture of named and positional values.
func checkNaming(t *templateSend) *refusal {
	named, positional := false, false
	look := func(p *part) {
		for _, s := range p.body {
			named = named || s.name != ""
			positional = positional || s.name == ""
		}
		if p.header != nil && p.header.kind == "text" {
			named = named || p.header.name != ""
			positional = positional || p.header.name == ""
		}
	}
	look(&t.part)
	for i := range t.cards {
		look(&t.cards[i])
	}
	if named && positional {
		return refuse(132012, "parameter_name must be given for every text parameter or for none").at("components")
	}
	return nil
}

var (
	plainComponent = &shape{kind: kindObject, fields: []field{
		{"type", true, &shape{kind: kindString, enum: componentTypes}},
		{"parameters", false, &shape{kind: kindArray}},
	}}
	buttonComponent = &shape{kind: kindObject, fields: []field{
		{"type", true, &shape{kind: kindString, enum: componentTypes}},
		{"sub_type", true, &shape{kind: kindString, enum: subTypes}},
		{"index", false, &shape{kind: kindIndex, min: 0, max: 9}},
		{"parameters", true, &shape{kind: kindArray, min: 1}},
	}}
	carouselComponent = &shape{kind: kindObject, fields: []field{
		{"type", true, &shape{kind: kindString, enum: componentTypes}},
		{"cards", true, &shape{kind: kindArray, min: 2, max: 10, items: &shape{kind: kindObject, fields: []field{
			{"card_index", true, &shape{kind: kindInteger, min: 0, max: 9}},
			{"components", true, &shape{kind: kindArray, min: 1}},
		}}}},
	}}
	subTypes = []string{"quick_reply", "url", "copy_code", "flow", "catalog", "mpm", "order_details", "order_status", "voice_call"}
)

// parameterTypes lists the parameters each component takes, and each button by
// its sub_type (whatsapp-facts §2.2, §2.3).
var (
	parameterTypes = map[string]*shape{
		"header":                   oneOf("text", "image", "video", "document", "gif", "location", "product"),
		"body":                     oneOf("text", "currency", "date_time"),
		"limited_time_offer":       oneOf("limited_time_offer"),
		"tap_target_configuration": oneOf("tap_target_configuration"),
		"order_status":             oneOf("order_status"),
		"quick_reply":              oneOf("payload"),
		"url":                      oneOf("text"),
		"copy_code":                oneOf("coupon_code"),
		"voice_call":               oneOf("ttl_minutes", "payload"),
	}
	cardHeaderTypes = oneOf("image", "video", "gif", "product")
)

func oneOf(words ...string) *shape { return &shape{kind: kindString, enum: words} }

// parseComponent checks one component of a message or of a card and adds it to p.
func (c *checker) parseComponent(t *templateSend, p *part, v any, inCard bool, seen map[string]bool) *refusal {
	object, ok := v.(map[string]any)
	if !ok {
		return refuse(100, "must be a JSON object")
	}
	kind, ok := object["type"].(string)
	if !ok {
		return c.check(v, plainComponent)
	}
	kind = strings.ToLower(kind)
	if kind == "button" {
		return c.parseButton(p, v, object)
	}
	if seen[kind] {
		return refuse(100, "there is a second "+kind+" component").at("type")
	}
	seen[kind] = true
	if kind == "carousel" && !inCard {
		return c.parseCarousel(t, v, object)
	}
	if r := c.check(v, plainComponent); r != nil {
		return r
	}
	if inCard && kind != "header" && kind != "body" {
		return refuse(100, "a card has header, body and button components only").at("type")
	}

	list, _ := object["parameters"].([]any)
	allowed, most := parameterTypes[kind], 1
	switch {
	case kind == "header" && inCard:
		allowed = cardHeaderTypes
	case kind == "body":
		most = 0
	case kind == "limited_time_offer":
		t.offer = true
	}
	if len(list) == 0 && kind != "header" && kind != "body" {
		return refuse(131008, "is required").at("parameters")
	}
	if most > 0 && len(list) > most {
		return refuse(132000, fmt.Sprintf("a %s has at most %d parameter, got %d", kind, most, len(list))).at("parameters")
	}
	for i, item := range list {
		s, r := c.parseParameter(item, allowed)
		if r != nil {
			return r.atIndex(i).at("parameters")
		}
		switch kind {
		case "header":
			p.header = &s
		case "body":
			if s.name != "" && slices.ContainsFunc(p.body, func(b slot) bool { return b.name == s.name }) {
				return refuse(132012, "is given twice").at("parameter_name").atIndex(i).at("parameters")
			}
			p.body = append(p.body, s)
		}
	}
	if len(list) == 0 {
		// Legal only for a template without variables, which match knows.
		if kind == "header" {
			p.header = &slot{}
		} else {
			p.body = []slot{}
		}
	}
	return nil
}

// parseParameter checks a parameter that may be of any of the allowed types.
func (c *checker) parseParameter(v any, allowed *shape) (slot, *refusal) {
	object, ok := v.(map[string]any)
	if !ok {
		return slot{}, refuse(100, "must be a JSON object")
	}
	if r := c.check(object["type"], allowed); r != nil {
		if _, given := object["type"]; !given {
			r = refuse(131008, "is required")
		}
		return slot{}, r.at("type")
	}
	s := slot{kind: strings.ToLower(object["type"].(string))}
	if r := c.check(object, parameters[s.kind]); r != nil {
		return slot{}, r
	}
	s.name, _ = object["parameter_name"].(string)
	switch value := object[s.kind].(type) {
	case string:
		s.text = value
	case map[string]any:
		s.text, _ = value["fallback_value"].(string)
		s.id, _ = value["id"].(string)
	}
	return s, nil
}

func (c *checker) parseButton(p *part, v any, object map[string]any) *refusal {
	if r := c.check(v, buttonComponent); r != nil {
		return r
	}
	b := buttonSend{subType: strings.ToLower(object["sub_type"].(string)), index: noIndex}
	if index, given := object["index"]; given {
		n, _ := integer(index, true)
		b.index = int(n)
	} else if b.subType != "voice_call" && !c.sandbox {
		// Meta's samples leave it out for the call button, of which a template
		// has one; On-Premise allowed it for any single button.
		return refuse(131008, "is required").at("index")
	}
	if slices.ContainsFunc(p.buttons, func(other buttonSend) bool { return other.index == b.index }) {
		return refuse(100, "two buttons have the same index").at("index")
	}

	list := object["parameters"].([]any)
	if len(list) > 1 && b.subType != "voice_call" || len(list) > 2 {
		return refuse(132000, fmt.Sprintf("a %s button has one parameter, got %d", b.subType, len(list))).at("parameters")
	}
	for i, item := range list {
		s, r := c.parseButtonParameter(b.subType, item)
		if r != nil {
			return r.atIndex(i).at("parameters")
		}
		b.text = s.text
	}
	p.buttons = append(p.buttons, b)
	return nil
}

func (c *checker) parseButtonParameter(subType string, v any) (slot, *refusal) {
	switch subType {
	case "quick_reply", "copy_code", "voice_call":
		return c.parseParameter(v, parameterTypes[subType])
	case "url":
		s, r := c.parseParameter(v, parameterTypes[subType])
		if r == nil && len(s.text) > maxURL {
			r = refuse(132005, fmt.Sprintf("must be at most %d characters long", maxURL)).at("text")
		}
		return s, r
	}
	want := "action"
	if subType == "order_status" {
		want = subType
	}
	object, ok := v.(map[string]any)
	if !ok {
		return slot{}, refuse(100, "must be a JSON object")
	}
	if kind, _ := object["type"].(string); !strings.EqualFold(kind, want) {
		return slot{}, refuse(100, "must be one of {"+want+"}").at("type")
	}
	return slot{kind: want}, c.check(object, actions[subType])
}

func (c *checker) parseCarousel(t *templateSend, v any, object map[string]any) *refusal {
	if r := c.check(v, carouselComponent); r != nil {
		return r
	}
	t.slides = true
	cards := object["cards"].([]any)
	t.cards = make([]part, len(cards))
	seenIndex := map[int64]bool{}
	for i, item := range cards {
		card := item.(map[string]any)
		index, _ := integer(card["card_index"], false)
		if index >= int64(len(cards)) || seenIndex[index] {
			return refuse(131009, fmt.Sprintf("must number the cards from 0 to %d, each once", len(cards)-1)).at("card_index").atIndex(i).at("cards")
		}
		seenIndex[index] = true
		p, seen := &t.cards[index], map[string]bool{}
		for j, component := range card["components"].([]any) {
			if r := c.parseComponent(t, p, component, true, seen); r != nil {
				return r.atIndex(j).at("components").atIndex(i).at("cards")
			}
		}
		if p.header == nil || p.header.kind == "" {
			return refuse(131008, "a card needs a header").at("components").atIndex(i).at("cards")
		}
	}
	for i := range t.cards[1:] {
		if !sameStructure(&t.cards[0], &t.cards[i+1]) {
			return refuse(132012, "every card needs the same components as the first").atIndex(i + 1).at("cards")
		}
	}
	return nil
}

// sameStructure tells whether two cards have the same header, number of body
// values and buttons.
func sameStructure(a, b *part) bool {
	return a.header.kind == b.header.kind && len(a.body) == len(b.body) &&
		slices.EqualFunc(a.buttons, b.buttons, func(x, y buttonSend) bool {
			return x.index == y.index && x.subType == y.subType
		})
}

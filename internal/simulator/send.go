package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// send is a POST to /messages that has the right form.
type send struct {
	to       string // as given
	bsuid    string // given instead of a phone number
	group    bool
	opaque   string
	kind     string
	template *templateSend // of a template message
	readMark bool          // not a message: marks one as read
}

// templateSend is the part of a send that is compared with the template.
type templateSend struct {
	name, language string
	part
	offer  bool
	cards  []part
	slides bool // a carousel was sent
}

// part is what a message and a card of a carousel have in common.
type part struct {
	header  *slot
	body    []slot
	buttons []buttonSend
}

// slot is one value for a placeholder. kind is the lower case parameter type.
type slot struct {
	kind string
	name string // parameter_name; empty when positional
	text string // text, or the fallback of a currency or date
	id   string // media id
}

// noIndex stands for a button sent without an index.
const noIndex = -1

type buttonSend struct {
	index   int
	subType string
	text    string
}

// otherKinds are the message types taken by type alone: the simulator is for
// templates, these only get as far as "there is an object of that name".
var otherKinds = []string{"audio", "contacts", "document", "image", "interactive", "location", "reaction", "sticker", "video"}

// kinds are all message types, each of which is also the name of its object.
var kinds = append([]string{"template", "text"}, otherKinds...)

var (
	envelopeFields = func() []field {
		str := func(max int) *shape { return &shape{kind: kindString, max: max} }
		free := &shape{kind: kindObject, open: true}
		fields := []field{
			{"messaging_product", false, &shape{kind: kindString, enum: []string{"whatsapp"}}},
			{"recipient_type", false, &shape{kind: kindString, enum: []string{"individual", "group"}}},
			{"to", false, &shape{kind: kindString, min: 1, max: maxID}},
			{"recipient", false, &shape{kind: kindString, min: 1, max: maxID, valid: validBSUID}},
			{"type", false, &shape{kind: kindString, enum: kinds}},
			{"biz_opaque_callback_data", false, str(maxOpaque)},
			{"context", false, &shape{kind: kindObject, fields: []field{{"message_id", true, anyID}}}},
			{"recipient_identity_key_hash", false, anyID},
			// Of POST /marketing_messages; 360dialog routes sends of
			// /messages there by itself, so both paths know them.
			{"message_activity_sharing", false, &shape{kind: kindBool}},
			{"product_policy", false, &shape{kind: kindString, enum: []string{"CLOUD_API_FALLBACK", "STRICT"}}},
			{"text", false, &shape{kind: kindObject, fields: []field{
				{"body", true, &shape{kind: kindString, min: 1, max: maxTextBody}},
				{"preview_url", false, &shape{kind: kindBool}},
			}}},
			{"template", false, free}, // looked at by parseTemplate
		}
		for _, kind := range otherKinds {
			s := free
			if kind == "contacts" {
				s = &shape{kind: kindArray, min: 1}
			}
			fields = append(fields, field{kind, false, s})
		}
		return fields
	}()
	envelope = &shape{kind: kindObject, fields: envelopeFields}

	readMark = &shape{kind: kindObject, fields: []field{
		{"messaging_product", true, &shape{kind: kindString, enum: []string{"whatsapp"}}},
		{"status", true, &shape{kind: kindString, enum: []string{"read"}}},
		{"message_id", true, anyID},
		{"typing_indicator", false, &shape{kind: kindObject, fields: []field{
			{"type", true, &shape{kind: kindString, enum: []string{"text"}}},
		}}},
	}}
)

// decodeObject reads exactly one JSON object.
func decodeObject(body []byte) (map[string]any, *refusal) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, refuse(100, "the request body is not valid JSON")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse(100, "the request body holds more than one JSON value")
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, refuse(100, "the request body must be a JSON object")
	}
	return object, nil
}

// parseSend checks the form of a send by whatsapp-facts §2. What depends on the
// template itself is checked by match.
func (c *checker) parseSend(body []byte) (*send, *refusal) {
	object, r := decodeObject(body)
	if r != nil {
		return nil, r
	}
	if _, ok := object["status"]; ok {
		return &send{readMark: true}, c.check(object, readMark)
	}

	if r := c.check(object, envelope); r != nil {
		return nil, r
	}
	s := &send{}
	s.kind, _ = object["type"].(string)
	s.kind = strings.ToLower(s.kind)
	s.to, _ = object["to"].(string)
	s.bsuid, _ = object["recipient"].(string)
	s.opaque, _ = object["biz_opaque_callback_data"].(string)
	recipientType, _ := object["recipient_type"].(string)
	s.group = strings.EqualFold(recipientType, "group")

	strict := s.kind == "" || s.kind == "text" || s.kind == "template"
	if _, ok := object["messaging_product"]; !ok && strict && !c.sandbox {
		return nil, refuse(100, "is required").at("messaging_product")
	}
	if s.kind == "" {
		return nil, refuse(100, "is required").at("type")
	}
	if s.to == "" && s.bsuid == "" {
		return nil, refuse(100, "is required").at("to")
	}
	if s.to != "" && !s.group && strict {
		if r := c.checkPhone(s.to); r != nil {
			return nil, r.at("to")
		}
	}
	if _, ok := object[s.kind]; !ok {
		return nil, refuse(131008, "is required").at(s.kind)
	}
	for _, other := range kinds {
		if _, ok := object[other]; ok && other != s.kind && !c.sandbox {
			return nil, refuse(100, "unexpected property for a message of type "+s.kind).at(other)
		}
	}
	if s.kind == "template" {
		if s.template, r = c.parseTemplate(object["template"]); r != nil {
			return nil, r.at("template")
		}
	}
	return s, nil
}

// checkPhone takes what the provider takes: digits, with or without the plus
// sign, and the signs people write between them.
func (c *checker) checkPhone(to string) *refusal {
	if c.placeholders && isPlaceholder(to) {
		return nil
	}
	digits := 0
	for i := range len(to) {
		switch b := to[i]; {
		case b >= '0' && b <= '9':
			digits++
		case (b == 'x' || b == 'X') && c.placeholders && digits > 0: // 91xxxxxxxxxx in documents
			digits++
		case b == '+' && i == 0, b == ' ', b == '-', b == '(', b == ')':
		default:
			return refuse(131009, "is not a phone number")
		}
	}
	if digits < 7 || digits > 15 {
		return refuse(131009, "is not a phone number: it has fewer than 7 or more than 15 digits")
	}
	return nil
}

// validBSUID is whatsapp-facts §7.1.
func validBSUID(_ *checker, s string) *refusal {
	country, rest, ok := strings.Cut(s, ".")
	rest = strings.TrimPrefix(rest, "ENT.")
	if !ok || len(country) != 2 || rest == "" || len(rest) > 128 ||
		!only(country, func(b byte) bool { return b >= 'A' && b <= 'Z' }) ||
		!only(rest, func(b byte) bool {
			return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
		}) {
		return refuse(131009, "is not a business-scoped user id")
	}
	return nil
}

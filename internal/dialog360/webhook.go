package dialog360

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// ParseWebhook reads the events of a webhook body, in both envelopes: the Cloud
// API's entry[].changes[].value and the On-Premise one with statuses and
// messages at its top (whatsapp-facts §6.2, §1.2). Events are read from the keys
// of a value whatever its field is called, each element by itself, so that a bad
// one costs only itself. An envelope without anything we know gives one event of
// kind other. The only error is a body that is not JSON.
func ParseWebhook(body []byte) ([]campaign.Event, error) {
	doc, err := document(body)
	if err != nil && !errors.Is(err, errTooDeep) {
		return nil, fmt.Errorf("parse webhook: %w", err)
	}
	p := &parser{}
	if doc.isArray() {
		for d := range doc.objects() {
			p.envelope(d)
		}
	} else {
		p.envelope(doc)
	}
	if len(p.events) == 0 {
		p.events = append(p.events, campaign.Event{Kind: campaign.EventOther, Field: doc.get("field").text()})
	}
	return p.events, nil
}

// parser collects the events of one body.
type parser struct {
	events []campaign.Event
}

func (p *parser) envelope(doc raw) {
	m := doc.members()
	for entry := range m.get("entry").objects() {
		p.entry(entry.members())
	}
	switch {
	case m.has("changes"):
		p.entry(m)
	case m.get("value").isObject() && m.has("field"):
		p.change(change{field: m.get("field").text(), value: m.get("value")})
	default:
		// On-Premise: no fields, and everything concerns messages.
		p.elements(change{value: doc, messages: true}, m)
		if len(p.events) == 0 {
			p.subject(change{value: doc})
		}
	}
}

func (p *parser) entry(entry members) {
	waba := entry.get("id").text()
	for o := range entry.get("changes").objects() {
		c := o.members()
		field := c.get("field").text()
		p.change(change{
			field:    field,
			value:    c.get("value"),
			waba:     waba,
			messages: field == "messages",
			at:       entry.get("time").text(),
		})
	}
}

// change is one value with what surrounds it.
type change struct {
	field    string
	value    raw
	waba     string
	messages bool   // the field is "messages": only its elements change a message
	at       string // of the entry, for events without a time of their own
}

func (p *parser) change(c change) {
	before := len(p.events)
	p.elements(c, c.value.members())
	if len(p.events) == before {
		p.subject(c)
	}
	if len(p.events) == before {
		p.events = append(p.events, campaign.Event{
			Kind:         campaign.EventOther,
			Field:        c.field,
			WABA:         c.waba,
			DisplayPhone: displayPhone(c.value),
			At:           unixTime(c.at),
		})
	}
}

// elements reads the lists of a value, whose members these are. They are read one by one in the order of
// the payload; a repeated key adds to what was there.
func (p *parser) elements(c change, value members) {
	common := campaign.Event{Messages: c.messages, WABA: c.waba}
	var people contacts
	for _, f := range value {
		switch f.key {
		case "metadata":
			common.DisplayPhone = digits(f.value.get("display_phone_number").text())
		case "contacts":
			people = people.add(f.value)
		}
	}
	for _, f := range value {
		list := f.value
		switch f.key {
		case "statuses":
			for v := range list.objects() {
				p.events = append(p.events, status(v, common, people))
			}
		case "messages", "message_echoes":
			for v := range list.objects() {
				p.events = append(p.events, message(v, common, people))
			}
		case "user_preferences":
			for v := range list.objects() {
				p.events = append(p.events, preference(v, common, people))
			}
		case "errors":
			for v := range list.objects() {
				p.events = append(p.events, valueError(v, common))
			}
		}
	}
}

// contacts are the BSUIDs that a value gives for its phone numbers.
type contacts map[string]string

func (c contacts) add(list raw) contacts {
	for v := range list.objects() {
		id := v.get("user_id").text()
		if id == "" {
			continue
		}
		if c == nil {
			c = contacts{}
		}
		phone := v.get("wa_id").text()
		if _, known := c[phone]; !known {
			c[phone] = id
		}
	}
	return c
}

// userID is the BSUID that the element itself has or, for its phone number, the
// contacts of its value.
func (c contacts) userID(phone string, own ...string) string {
	if id := firstText(own...); id != "" || phone == "" {
		return id
	}
	return c[phone]
}

// status reads one status (whatsapp-facts §6.3). This is the hot path: one pass
// over the object.
func status(v raw, e campaign.Event, people contacts) campaign.Event {
	e.Kind = campaign.EventStatus
	var errorList raw
	var userID string
	for key, value := range v.fields() {
		switch key {
		case "id":
			e.ID = value.text()
		case "status":
			e.Status = value.text()
		case "timestamp":
			e.Timestamp = value.text()
		case "recipient_id":
			e.Recipient = value.text()
		case "recipient_user_id":
			e.UserID = value.text()
		case "user_id", "from_user_id":
			userID = value.text()
		case "biz_opaque_callback_data":
			e.Opaque = value.text()
		case "errors":
			errorList = value
		}
	}
	e.UserID = people.userID(e.Recipient, e.UserID, userID)
	e.At = unixTime(e.Timestamp)
	f := firstError(errorList)
	if f != nil {
		e.Code, _ = strconv.Atoi(f.Code)
	}
	if e.Status == "failed" {
		if f == nil {
			unknown := unknownFailure(codeUnknown, 0)
			f = &unknown
		}
		e.Failure = f
	}
	return e
}

// message reads one inbound message (whatsapp-facts §6.4).
func message(v raw, e campaign.Event, people contacts) campaign.Event {
	e.Kind = campaign.EventMessage
	e.ID = v.get("id").text()
	e.Type = v.get("type").text()
	e.From = v.get("from").text()
	e.UserID = people.userID(e.From, v.get("from_user_id").text(), v.get("user_id").text())
	e.ContextID = v.get("context", "id").text()
	e.At = unixTime(v.get("timestamp").text())
	e.Text = written(v)
	e.Payload = firstText(
		v.get("button", "payload").text(),
		v.get("interactive", "button_reply", "id").text(),
		v.get("interactive", "list_reply", "id").text(),
	)
	return e
}

// written is what the person wrote or pressed: a text, a button, a list row, a
// caption, the note with an order.
func written(v raw) string {
	interactive := v.get("interactive")
	if text := firstText(
		v.get("text", "body").text(),
		v.get("button", "text").text(),
		interactive.get("button_reply", "title").text(),
		interactive.get("list_reply", "title").text(),
		interactive.get("nfm_reply", "body").text(),
		v.get("order", "text").text(),
	); text != "" {
		return text
	}
	// The object under the key that the type names: image, video, document.
	return v.get(v.get("type").text(), "caption").text()
}

// preference reads one marketing preference (whatsapp-facts §6.5).
func preference(v raw, e campaign.Event, people contacts) campaign.Event {
	e.Kind = campaign.EventUserPreference
	e.User = v.get("wa_id").text()
	e.UserID = people.userID(e.User, v.get("user_id").text(), v.get("from_user_id").text())
	e.Value = v.get("value").text()
	e.At = unixTime(v.get("timestamp").text())
	return e
}

// valueError reads an error of the account or number, which is about no message.
func valueError(v raw, e campaign.Event) campaign.Event {
	e.Kind = campaign.EventError
	e.Failure = firstError(v)
	if e.Failure != nil {
		e.Code, _ = strconv.Atoi(e.Failure.Code)
	}
	return e
}

// firstError reads the first usable error of a list (whatsapp-facts §4.2) with
// the catalogue's row for its code; nil where there is none.
func firstError(list raw) *campaign.Failure {
	for v := range list.objects() {
		p := errorObject(v, maxWraps)
		if !p.recognised {
			continue
		}
		f := unknownFailure(firstText(p.code, codeUnknown), 0)
		if p.numeric {
			f = p.refine(explain(p.code, p.number, 0))
		}
		f.Details = bounded(p.details, detailsLimit)
		f.HTTP = 0 // a webhook has none
		return &f
	}
	return nil
}

// unixTime reads Unix seconds, or milliseconds, which some senders write; zero
// where there is no time.
func unixTime(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) || math.Abs(f) > 1<<53 {
			return time.Time{}
		}
		n = int64(f)
	}
	const year5000 = 95_617_584_000 // in seconds; as milliseconds it is 1973
	switch {
	case n <= 0 || n >= 1000*year5000:
		return time.Time{}
	case n >= year5000:
		return time.UnixMilli(n).UTC()
	}
	return time.Unix(n, 0).UTC()
}

// digits keeps the digits of a business number, which the provider writes with
// and without + and spaces. It is never used on a person's id: the digits of a
// BSUID look like a phone number.
func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

func displayPhone(v raw) string {
	return digits(firstText(v.get("display_phone_number").text(), v.get("metadata", "display_phone_number").text()))
}

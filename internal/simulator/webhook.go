package simulator

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// The webhook envelope and the statuses in it (whatsapp-facts §6.2, §6.3).

type wireEnvelope struct {
	Object string      `json:"object"`
	Entry  []wireEntry `json:"entry"`
}

type wireEntry struct {
	ID      string       `json:"id"`
	Time    int64        `json:"time,omitempty"`
	Changes []wireChange `json:"changes"`
}

type wireChange struct {
	Field string `json:"field"`
	Value any    `json:"value"`
}

type wireValue struct {
	MessagingProduct string        `json:"messaging_product"`
	Metadata         wireMetadata  `json:"metadata"`
	Contacts         []wireContact `json:"contacts,omitempty"`
	Statuses         []wireStatus  `json:"statuses,omitempty"`
	Messages         []any         `json:"messages,omitempty"`
}

type wireMetadata struct {
	DisplayPhoneNumber string `json:"display_phone_number"`
	PhoneNumberID      string `json:"phone_number_id"`
}

type wireContact struct {
	Profile struct {
		Name string `json:"name"`
	} `json:"profile"`
	WaID   string `json:"wa_id,omitempty"`
	UserID string `json:"user_id,omitempty"`
}

type wireStatus struct {
	ID              string            `json:"id"`
	Status          string            `json:"status"`
	Timestamp       string            `json:"timestamp"`
	RecipientID     string            `json:"recipient_id,omitempty"`
	RecipientUserID string            `json:"recipient_user_id,omitempty"`
	Opaque          string            `json:"biz_opaque_callback_data,omitempty"`
	Pricing         *wirePricing      `json:"pricing,omitempty"`
	Errors          []wireStatusError `json:"errors,omitempty"`
}

type wirePricing struct {
	Billable     bool   `json:"billable"`
	PricingModel string `json:"pricing_model"`
	Type         string `json:"type"`
	Category     string `json:"category"`
}

type wireStatusError struct {
	Code      int    `json:"code"`
	Title     string `json:"title"`
	Message   string `json:"message"`
	ErrorData struct {
		Details string `json:"details"`
	} `json:"error_data"`
	Href string `json:"href"`
}

const errorHref = "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/"

// message is an accepted message whose statuses are still to be reported. It is
// kept small and made into JSON only when it is sent, because a whole campaign
// of them waits while the webhook target is down.
type message struct {
	number   *number
	id       string
	waID     string
	userID   string
	opaque   string
	category string // lower case
	accepted time.Time
	hidden   bool
	priced   bool // a read without delivered carries the pricing
	script   []step
}

// event is one thing to report: the step of a message, or a whole change.
type event struct {
	message *message
	step    step
	change  *wireChange
	at      time.Time
}

func (e event) status() wireStatus {
	m := e.message
	s := wireStatus{
		ID: m.id, Status: statusNames[e.step.kind], Timestamp: strconv.FormatInt(e.at.Unix(), 10), Opaque: m.opaque,
		RecipientUserID: m.userID,
	}
	if !m.hidden {
		s.RecipientID = m.waID
	}
	switch {
	case e.step.kind == statusFailed:
		title := codes[int(e.step.code)].title
		if title == "" {
			title = "Unknown error"
		}
		one := wireStatusError{Code: int(e.step.code), Title: title, Message: title, Href: errorHref}
		one.ErrorData.Details = title + "."
		s.Errors = []wireStatusError{one}
	case e.step.kind == statusSent, e.step.kind == statusDelivered, m.priced:
		s.Pricing = &wirePricing{Billable: true, PricingModel: "PMP", Type: "regular", Category: m.category}
	}
	return s
}

func (e event) contact() wireContact {
	c := wireContact{UserID: e.message.userID}
	c.Profile.Name = "Simulated recipient"
	if !e.message.hidden {
		c.WaID = e.message.waID
	}
	return c
}

// encode makes the body of a webhook of statuses. cut, when not nil, gives the
// number of statuses of the next change; the events of one batch are spread over
// several changes and entries by it.
func encode(n *number, batch []event, cut func() int) ([]byte, error) {
	envelope := wireEnvelope{Object: "whatsapp_business_account"}
	entry := wireEntry{ID: n.catalog.account}
	for len(batch) > 0 {
		size := len(batch)
		if cut != nil {
			size = min(size, max(1, cut()))
		}
		value := wireValue{MessagingProduct: "whatsapp", Metadata: n.metadata, Statuses: make([]wireStatus, 0, size)}
		for _, e := range batch[:size] {
			value.Statuses = append(value.Statuses, e.status())
			if cut != nil && e.message.userID != "" {
				value.Contacts = append(value.Contacts, e.contact())
			}
		}
		batch = batch[size:]
		entry.Changes = append(entry.Changes, wireChange{Field: "messages", Value: value})
		if cut != nil && len(entry.Changes) == 3 {
			envelope.Entry = append(envelope.Entry, entry)
			entry = wireEntry{ID: n.catalog.account}
		}
	}
	if len(entry.Changes) > 0 {
		envelope.Entry = append(envelope.Entry, entry)
	}
	return json.Marshal(envelope)
}

// encodeChange makes the body of any other webhook; those carry a time.
func encodeChange(n *number, e event) ([]byte, error) {
	entry := wireEntry{ID: n.catalog.account, Changes: []wireChange{*e.change}}
	if e.change.Field != "messages" {
		entry.Time = e.at.Unix()
	}
	return json.Marshal(wireEnvelope{Object: "whatsapp_business_account", Entry: []wireEntry{entry}})
}

// templateChange reports the status of a template: id as an integer, language
// with a hyphen (whatsapp-facts §0 trap 16, §6.5).
func templateChange(t *template, reason string) *wireChange {
	value := map[string]any{
		"event":                     t.status,
		"message_template_id":       json.Number(t.id),
		"message_template_name":     t.name,
		"message_template_language": strings.ReplaceAll(t.language, "_", "-"),
		"message_template_category": t.category,
		"reason":                    nil,
	}
	if reason != "" {
		value["reason"] = reason
	}
	switch t.status {
	case "PAUSED":
		value["other_info"] = map[string]any{"title": "FIRST_PAUSE", "description": "Your template was paused because of low quality."}
	case "DISABLED":
		value["other_info"] = map[string]any{"title": "DISABLED", "description": "Your template was disabled."}
	}
	return &wireChange{Field: "message_template_status_update", Value: value}
}

package dialog360

import (
	"strconv"
	"strings"

	"github.com/campaignd/campaignd/internal/campaign"
)

// subject reads a value that is itself the event: about a template, a number or
// the account (whatsapp-facts §6.5). Its keys decide before its field does,
// because a quality event has been seen under the field of status events. Values
// of other kinds give nothing.
func (p *parser) subject(c change) {
	v := c.value
	if !v.isObject() {
		return
	}
	e := campaign.Event{
		WABA:         firstText(v.get("waba_info", "waba_id").text(), c.waba),
		DisplayPhone: firstText(displayPhone(v), digits(v.get("phone_number").text())),
		At:           unixTime(c.at),
	}
	template := v.has("message_template_id", "message_template_name")
	switch {
	case v.has("previous_quality_score", "new_quality_score"), c.field == "message_template_quality_update":
		templateQuality(v, &e)
	case template && v.has("previous_category", "new_category", "correct_category"), c.field == "template_category_update":
		templateCategory(v, &e)
	case template && v.has("event"), c.field == "message_template_status_update":
		templateStatus(v, &e)
	case c.field == "phone_number_quality_update", v.has("display_phone_number") && v.has("current_limit", "old_limit"):
		phoneQuality(v, &e)
	case c.field == "business_capability_update",
		v.has("max_daily_conversations_per_business", "max_daily_conversation_per_phone") && !v.has("event"):
		capability(v, &e)
	case isAccount(c.field), v.has("ban_info", "violation_info", "restriction_info", "alert_info"):
		account(v, &e)
		e.Field = c.field
	default:
		return
	}
	p.events = append(p.events, e)
}

func isAccount(field string) bool {
	switch field {
	case "account_update", "account_alerts", "account_review_update":
		return true
	}
	return false
}

// ofTemplate says which template an event is about. Webhooks write the language
// en-US, lists and sends en_US.
func ofTemplate(v raw, e *campaign.Event) {
	e.Template = v.get("message_template_name").text()
	e.TemplateID = v.get("message_template_id").text()
	e.Language = strings.ReplaceAll(v.get("message_template_language").text(), "-", "_")
}

// templateStatus: Reason is the provider's or, where it gives none, the title of
// a pause (FIRST_PAUSE …) or the reason of a rejection.
func templateStatus(v raw, e *campaign.Event) {
	e.Kind = campaign.EventTemplateStatus
	ofTemplate(v, e)
	e.Event = v.get("event").text()
	e.Reason = firstText(
		v.get("reason").text(),
		v.get("other_info", "title").text(),
		v.get("rejection_info", "reason").text(),
	)
}

func templateQuality(v raw, e *campaign.Event) {
	e.Kind = campaign.EventTemplateQuality
	ofTemplate(v, e)
	e.Previous = v.get("previous_quality_score").text()
	e.New = v.get("new_quality_score").text()
}

// The events of a category change.
const (
	CategoryCompleted = "completed" // New holds now
	CategoryImpending = "impending" // New will hold from Value on, in Unix seconds
)

// templateCategory: an impending change names the coming category in
// correct_category, and the current one in new_category.
func templateCategory(v raw, e *campaign.Event) {
	e.Kind = campaign.EventTemplateCategory
	ofTemplate(v, e)
	current := v.get("new_category").text()
	if coming := v.get("correct_category").text(); coming != "" {
		e.Event = CategoryImpending
		e.Previous = current
		e.New = coming
		e.Value = v.get("category_update_timestamp").text()
		return
	}
	e.Event = CategoryCompleted
	e.Previous = v.get("previous_category").text()
	e.New = current
}

// phoneQuality: New and Previous are limits where the payload has both.
func phoneQuality(v raw, e *campaign.Event) {
	e.Kind = campaign.EventPhoneQuality
	e.Event = v.get("event").text()
	e.Previous = v.get("old_limit").text()
	e.New = v.get("current_limit").text()
	e.Limit = firstText(e.New, v.get("max_daily_conversations_per_business").text())
}

// capability: Limit is a number of people or a tier, TIER_2K; -1 is unlimited.
func capability(v raw, e *campaign.Event) {
	e.Kind = campaign.EventCapability
	e.Limit = firstText(
		v.get("max_daily_conversations_per_business").text(),
		v.get("max_daily_conversation_per_phone").text(),
	)
}

// account: Event is the event, the type of an alert or the decision of a review.
// Reason are the violation or the restrictions, comma-separated; New is the ban
// state or the state of an alert; Value is when the last restriction ends, in
// Unix seconds, or the date of a ban.
func account(v raw, e *campaign.Event) {
	e.Kind = campaign.EventAccount
	alert := v.get("alert_info")
	if alert.absent() {
		alert = v // older payloads are flat
	}
	e.Event = firstText(v.get("event").text(), alert.get("alert_type").text(), v.get("decision").text())
	e.Reason = firstText(
		v.get("violation_info", "violation_type").text(),
		v.get("disconnection_info", "reason").text(),
		alert.get("alert_description").text(),
	)
	e.New = firstText(v.get("ban_info", "waba_ban_state").text(), alert.get("alert_status").text(), v.get("country").text())
	e.Value = firstText(v.get("ban_info", "waba_ban_date").text(), alert.get("alert_severity").text())

	var restrictions []string
	var ends int
	for r := range v.get("restriction_info").objects() {
		if t := r.get("restriction_type").text(); t != "" {
			restrictions = append(restrictions, t)
		}
		if end, ok := r.get("expiration").integer(); ok {
			ends = max(ends, end)
		}
	}
	if len(restrictions) > 0 {
		e.Reason = strings.Join(restrictions, ",")
	}
	if ends > 0 {
		e.Value = strconv.Itoa(ends)
	}
}

package simulator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// matchUnknown checks what can be said of a send without its template: values
// alone keep within the limits, and a header or body that is sent has values.
func matchUnknown(t *templateSend) *refusal {
	limit := maxBody
	if t.offer {
		limit = maxOfferBody
	}
	if r := matchUnknownPart(&t.part, limit); r != nil {
		return r.at("components").at("template")
	}
	for i := range t.cards {
		if r := matchUnknownPart(&t.cards[i], maxCardBody); r != nil {
			return r.atIndex(i).at("cards").at("components").at("template")
		}
	}
	return nil
}

func matchUnknownPart(p *part, limit int) *refusal {
	if p.header != nil && p.header.kind == "" {
		return refuse(131008, "is required").at("parameters").at("header")
	}
	if p.header != nil && utf8.RuneCountInString(p.header.text) > maxHeader {
		return refuse(132005, fmt.Sprintf("must be at most %d characters long", maxHeader)).at("header")
	}
	if p.body != nil && len(p.body) == 0 {
		return refuse(131008, "is required").at("parameters").at("body")
	}
	total := 0
	for _, s := range p.body {
		total += utf8.RuneCountInString(s.text)
	}
	if total > limit {
		return refuse(132005, fmt.Sprintf("must be at most %d characters long", limit)).at("body")
	}
	return nil
}

// match compares a send with its template: the number, names and kinds of the
// values, the buttons, and the lengths after substitution (whatsapp-facts
// §2.2–§2.4). The words of the refusals name the component as Meta's do.
func match(t *templateSend, want *template) *refusal {
	limit := maxBody
	if want.offer {
		limit = maxOfferBody
	}
	if r := matchPart(&t.part, &want.needs, want, limit); r != nil {
		return r
	}
	if t.offer != want.offer {
		if want.offer {
			return refuse(131008, "is required").at("limited_time_offer")
		}
		return refuse(132012, "the template has no limited time offer").at("limited_time_offer")
	}
	if t.slides != (len(want.cards) > 0) {
		if !t.slides {
			return refuse(131008, "is required").at("carousel")
		}
		return refuse(132012, "the template has no carousel").at("carousel")
	}
	if len(t.cards) != len(want.cards) && !want.productCards {
		return refuse(132000, fmt.Sprintf("number of cards (%d) does not match the approved number (%d)", len(t.cards), len(want.cards))).at("carousel")
	}
	for i := range t.cards {
		card := &want.cards[min(i, len(want.cards)-1)]
		if r := matchPart(&t.cards[i], card, want, maxCardBody); r != nil {
			return r.atIndex(i).at("cards").at("carousel")
		}
	}
	return matchCode(t, want)
}

func matchPart(p *part, want *templatePart, t *template, limit int) *refusal {
	if r := matchHeader(p.header, want, t.named); r != nil {
		return r.at("header")
	}
	if r := matchText(p.body, want.body, t.named, limit); r != nil {
		return r.at("body")
	}
	if r := matchButtons(p.buttons, want.buttons); r != nil {
		return r.at("buttons")
	}
	return nil
}

func matchHeader(s *slot, want *templatePart, named bool) *refusal {
	got := "UNKNOWN"
	if s != nil && s.kind != "" {
		got = strings.ToUpper(s.kind)
	}
	switch {
	case want.headerFormat == "" && s != nil:
		return refuse(132000, "the template has no header")
	case want.headerFormat == "":
		return nil
	case want.headerFormat != "TEXT":
		if got != want.headerFormat {
			return refuse(132012, fmt.Sprintf("format mismatch, expected %s, received %s", want.headerFormat, got))
		}
		return nil
	case got != "TEXT" && got != "UNKNOWN":
		return refuse(132012, "format mismatch, expected TEXT, received "+got)
	}
	var values []slot
	if got == "TEXT" {
		values = []slot{*s}
	}
	return matchText(values, want.header, named, maxHeader)
}

func matchText(values []slot, want text, named bool, limit int) *refusal {
	if len(values) != len(want.names) {
		return refuse(132000, fmt.Sprintf("number of localizable_params (%d) does not match the expected number of params (%d)", len(values), len(want.names)))
	}
	length := want.fixed
	for i, v := range values {
		place := 0
		if named {
			place = slices.Index(want.names, v.name)
		} else if v.name != "" {
			return refuse(132012, "the template's parameters are positional: parameter_name must not be given")
		} else if place = slices.Index(want.names, strconv.Itoa(i+1)); place < 0 {
			place = i // values go by number, wherever in the text it stands
		}
		if place < 0 {
			return refuse(132012, fmt.Sprintf("the template has no parameter_name %q", v.name))
		}
		length += want.uses[place] * utf8.RuneCountInString(v.text)
	}
	if length > limit {
		return refuse(132005, fmt.Sprintf("translated text has %d characters, more than %d", length, limit))
	}
	return nil
}

// buttonOf says which sub_type belongs to a template's button; buttons that are
// not listed take nothing at sending.
var buttonOf = map[string]string{
	"QUICK_REPLY": "quick_reply", "URL": "url", "OTP": "url", "COPY_CODE": "copy_code", "FLOW": "flow", "CATALOG": "catalog",
	"MPM": "mpm", "ORDER_DETAILS": "order_details", "ORDER_STATUS": "order_status", "VOICE_CALL": "voice_call",
}

func matchButtons(buttons []buttonSend, want []templateButton) *refusal {
	for i := range buttons {
		b := &buttons[i]
		if b.index == noIndex {
			b.index = max(0, slices.IndexFunc(want, func(w templateButton) bool { return buttonOf[w.kind] == b.subType }))
		}
		if b.index >= len(want) {
			return refuse(132012, fmt.Sprintf("button at index %d does not exist in the template", b.index))
		}
		w := want[b.index]
		if buttonOf[w.kind] != b.subType {
			return refuse(132012, fmt.Sprintf("button at index %d is of type %s, got %s", b.index, w.kind, b.subType))
		}
		if w.kind == "URL" && !w.dynamic {
			return refuse(132000, fmt.Sprintf("button at index %d has a static URL and takes no parameter", b.index))
		}
		if w.dynamic && w.url.fixed+utf8.RuneCountInString(b.text) > maxURL {
			return refuse(132005, fmt.Sprintf("the URL of the button at index %d has more than %d characters", b.index, maxURL))
		}
	}
	for i, w := range want {
		required := w.dynamic || w.kind == "OTP" || w.kind == "COPY_CODE" || w.kind == "MPM" || w.kind == "ORDER_DETAILS"
		if required && !slices.ContainsFunc(buttons, func(b buttonSend) bool { return b.index == i }) {
			return refuse(131008, fmt.Sprintf("button at index %d of type %s requires a parameter", i, w.kind))
		}
	}
	return nil
}

// matchCode checks a one-time password: short, and the same in body and button.
func matchCode(t *templateSend, want *template) *refusal {
	if want.category != "AUTHENTICATION" || len(t.body) == 0 {
		return nil
	}
	code := t.body[0].text
	if utf8.RuneCountInString(code) > maxOTP {
		return refuse(132018, fmt.Sprintf("the code must be at most %d characters long", maxOTP)).at("body")
	}
	for _, b := range t.buttons {
		if want.needs.buttons[b.index].kind == "OTP" && b.text != code {
			return refuse(132018, "the code of the button differs from that of the body").at("buttons")
		}
	}
	return nil
}

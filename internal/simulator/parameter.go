package simulator

import (
	"fmt"
	"strings"
)

// Limits of whatsapp-facts §2.4 that hold for a value by itself, in characters.
// What is bounded only together with the template's own text is in match.go.
const (
	maxTemplateName = 512
	maxOpaque       = 512
	maxTextBody     = 4096
	maxBody         = 1024
	maxOfferBody    = 600
	maxCardBody     = 160
	maxHeader       = 60
	maxURL          = 2000
	maxCoupon       = 20
	maxOTP          = 15
	maxPayload      = 512
	maxID           = 512
)

var (
	anyID   = &shape{kind: kindString, min: 1, max: maxID}
	anyText = &shape{kind: kindString, min: 1, max: maxTextBody}
	link    = &shape{kind: kindString, min: 1, max: maxURL, valid: validLink}
	// A value that is put into the template's text (whatsapp-facts §2.2).
	slotText = &shape{kind: kindString, min: 1, valid: validSlotText}
	slotName = &shape{kind: kindString, min: 1, max: maxTemplateName, valid: validSlotName}
)

// Amounts of orders are an integer and the power of ten it is scaled by.
var amount = &shape{kind: kindObject, fields: []field{
	{"value", true, &shape{kind: kindInteger}},
	{"offset", true, &shape{kind: kindInteger, min: 100, max: 100}},
	{"description", false, anyText},
	{"discount_program_name", false, anyText},
}}

func media(extra ...field) *shape {
	return &shape{kind: kindObject, either: []string{"id", "link"}, fields: append([]field{
		{"id", false, anyID},
		{"link", false, link},
	}, extra...)}
}

// parameters holds the shape of a parameter object for each of its types
// (whatsapp-facts §2.2). The property type itself is checked by whoever picks
// the shape; it is listed so that it counts as known.
var parameters = func() map[string]*shape {
	word := &shape{kind: kindString}
	of := func(name string, value *shape) *shape {
		return &shape{kind: kindObject, fields: []field{{"type", true, word}, {name, true, value}}}
	}
	named := func(name string, value *shape) *shape {
		s := of(name, value)
		s.fields = append(s.fields, field{"parameter_name", false, slotName})
		return s
	}
	object := func(fields ...field) *shape { return &shape{kind: kindObject, fields: fields} }
	within := func(low, high int) *shape { return &shape{kind: kindInteger, min: low, max: high} }

	return map[string]*shape{
		"text": named("text", slotText),
		"currency": named("currency", object(
			field{"fallback_value", true, slotText},
			field{"code", true, &shape{kind: kindString, min: 1, valid: validCurrency}},
			field{"amount_1000", true, &shape{kind: kindInteger}},
		)),
		"date_time": named("date_time", object(
			field{"fallback_value", true, slotText},
			field{"day_of_week", false, within(1, 7)},
			field{"year", false, within(1, 9999)},
			field{"month", false, within(1, 12)},
			field{"day_of_month", false, within(1, 31)},
			field{"hour", false, within(0, 23)},
			field{"minute", false, within(0, 59)},
			field{"calendar", false, &shape{kind: kindString, enum: []string{"GREGORIAN", "SOLAR_HIJRI"}}},
		)),
		"image":    of("image", media()),
		"video":    of("video", media()),
		"gif":      of("gif", media()),
		"document": of("document", media(field{"filename", false, &shape{kind: kindString, min: 1, max: 240}})),
		"location": of("location", object(
			field{"latitude", true, &shape{kind: kindDecimal, min: -90, max: 90}},
			field{"longitude", true, &shape{kind: kindDecimal, min: -180, max: 180}},
			field{"name", true, anyText},
			field{"address", true, anyText},
		)),
		"product": of("product", object(
			field{"product_retailer_id", true, anyID},
			field{"catalog_id", true, anyID},
		)),
		"payload":     of("payload", &shape{kind: kindString, min: 1, max: maxPayload}),
		"coupon_code": of("coupon_code", &shape{kind: kindString, min: 1, max: maxCoupon, valid: validCoupon}),
		"limited_time_offer": of("limited_time_offer", object(
			field{"expiration_time_ms", true, &shape{kind: kindInteger, min: 1}},
		)),
		"ttl_minutes": of("ttl_minutes", within(1, 43200)),
		"tap_target_configuration": of("tap_target_configuration", &shape{kind: kindArray, min: 1, items: object(
			field{"url", true, link},
			field{"title", true, anyText},
		)}),
		"order_status": of("order_status", object(
			field{"reference_id", true, anyID},
			field{"order", true, object(
				field{"status", true, &shape{kind: kindString, enum: []string{"pending", "processing", "partially-shipped", "partially_shipped", "shipped", "completed", "canceled"}}},
				field{"description", false, anyText},
			)},
		)),
	}
}()

// actions holds the shape of the action parameter for each button that takes one
// (whatsapp-facts §2.3).
var actions = func() map[string]*shape {
	of := func(fields ...field) *shape {
		return &shape{kind: kindObject, fields: []field{
			{"type", true, &shape{kind: kindString}},
			{"action", true, &shape{kind: kindObject, fields: fields}},
		}}
	}
	item := &shape{kind: kindObject, fields: []field{{"product_retailer_id", true, anyID}}}
	section := &shape{kind: kindObject, fields: []field{
		{"title", true, &shape{kind: kindString, min: 1, max: 24}},
		{"product_items", true, &shape{kind: kindArray, min: 1, max: 30, items: item}},
	}}
	goods := &shape{kind: kindObject, fields: []field{
		{"retailer_id", false, anyID},
		{"product_id", false, anyID},
		{"name", true, anyText},
		{"image", false, &shape{kind: kindObject, fields: []field{{"link", true, link}}}},
		{"amount", true, amount},
		{"sale_amount", false, amount},
		{"quantity", true, &shape{kind: kindInteger, min: 1}},
		{"country_of_origin", false, anyText},
		{"importer_name", false, anyText},
		{"importer_address", false, &shape{kind: kindObject, fields: addressFields}},
	}}
	order := &shape{kind: kindObject, fields: []field{
		{"status", false, &shape{kind: kindString, enum: []string{"pending"}}},
		{"type", false, &shape{kind: kindString, enum: []string{"quick_pay", "order"}}},
		{"catalog_id", false, anyID},
		{"expiration", false, &shape{kind: kindObject, fields: []field{
			{"timestamp", true, &shape{kind: kindIndex, min: 1}},
			{"description", true, anyText},
		}}},
		{"items", true, &shape{kind: kindArray, min: 1, items: goods}},
		{"subtotal", true, amount},
		{"tax", false, amount},
		{"shipping", false, amount},
		{"discount", false, amount},
	}}
	details := &shape{kind: kindObject, fields: []field{
		{"reference_id", true, anyID},
		{"type", true, &shape{kind: kindString, enum: []string{"digital-goods", "physical-goods"}}},
		{"currency", true, &shape{kind: kindString, min: 1, valid: validCurrency}},
		{"payment_type", false, anyText},
		{"payment_configuration", false, anyText},
		// What a payment setting holds differs by country and payment
		// provider; the documents give no closed list.
		{"payment_settings", false, &shape{kind: kindArray, min: 1, items: nil}},
		{"total_amount", true, amount},
		{"order", true, order},
		{"beneficiaries", false, &shape{kind: kindArray, min: 1}},
		{"shipping_info", false, &shape{kind: kindObject, fields: []field{
			{"country", true, anyText},
			{"addresses", true, &shape{kind: kindArray, min: 1}},
		}}},
	}}

	return map[string]*shape{
		"catalog": of(field{"thumbnail_product_retailer_id", false, anyID}),
		"flow": of(
			field{"flow_token", false, anyText},
			// The data of a flow is whatever its first screen declares.
			field{"flow_action_data", false, freeObject},
		),
		"mpm": of(
			field{"thumbnail_product_retailer_id", true, anyID},
			field{"sections", true, &shape{kind: kindArray, min: 1, max: 10, items: section}},
		),
		"order_details": of(field{"order_details", true, details}),
		"order_status":  parameters["order_status"],
	}
}()

var addressFields = []field{
	{"address_line1", true, anyText},
	{"address_line2", false, anyText},
	{"city", false, anyText},
	{"zone_code", false, anyText},
	{"postal_code", false, anyText},
	{"country_code", true, anyText},
}

// freeObject is an object whose properties are the caller's own.
var freeObject = &shape{kind: kindObject, open: true}

func validLink(c *checker, s string) *refusal {
	if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") {
		if rest := s[strings.Index(s, "://")+3:]; rest != "" && rest[0] != '/' && !strings.ContainsAny(s, " \t\r\n") {
			return nil
		}
	}
	if c.placeholders && (strings.HasPrefix(s, "http(s)://") || isPlaceholder(s)) {
		return nil
	}
	return refuse(131009, "must be an http or https URL")
}

func validSlotText(_ *checker, s string) *refusal {
	if strings.ContainsAny(s, "\n\r\t") || strings.Contains(s, "     ") {
		return refuse(132018, "must not contain a newline, a tab or more than four consecutive spaces")
	}
	return nil
}

func validSlotName(_ *checker, s string) *refusal {
	if !only(s, func(b byte) bool { return b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' }) {
		return refuse(132012, "must be lower case letters, digits and underscores")
	}
	return nil
}

func validCurrency(_ *checker, s string) *refusal {
	if len(s) != 3 || !only(s, func(b byte) bool { return b >= 'A' && b <= 'Z' }) {
		return refuse(131009, "must be an ISO 4217 code of three capital letters")
	}
	return nil
}

func validCoupon(c *checker, s string) *refusal {
	if c.placeholders && isPlaceholder(s) {
		return nil
	}
	if !only(s, func(b byte) bool {
		return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
	}) {
		return refuse(131009, fmt.Sprintf("must be at most %d letters and digits", maxCoupon))
	}
	return nil
}

func only(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

// isPlaceholder knows the ways in which public documentation writes "put yours
// here": {{Recipient-Phone-Number}}, <WHATSAPP_USER_PHONE_NUMBER>, [number].
func isPlaceholder(s string) bool {
	for _, pair := range [...][2]string{{"{{", "}}"}, {"<", ">"}, {"[", "]"}} {
		if inner, ok := strings.CutPrefix(s, pair[0]); ok {
			if inner, ok = strings.CutSuffix(inner, pair[1]); ok && inner != "" {
				return only(inner, func(b byte) bool {
					return b == '-' || b == '_' || b == ' ' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
				})
			}
		}
	}
	return false
}

package dialog360

import (
	"slices"
	"strconv"
	"strings"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Limits of a template's own texts and buttons (whatsapp-facts §2.3, §2.4), in
// characters and pieces.
const (
	maxName         = 512
	maxFooter       = 60
	maxLabel        = 25
	maxButtonPhone  = 20
	maxOfferText    = 16
	maxOfferBody    = 600
	maxCardBody     = 160
	maxCardButtons  = 2
	minCards        = 2
	maxCards        = 10
	maxButtons      = 10
	maxQuickReplies = 10
	maxURLButtons   = 2
	maxPhoneButtons = 1
	maxCopyButtons  = 1
)

// The order in which components are read, so that slots stand in the order of
// the message whatever the order in the JSON.
var componentOrder = []string{"HEADER", "LIMITED_TIME_OFFER", "BODY", "FOOTER", "BUTTONS", "CAROUSEL"}

func kindOf(component raw) string { return strings.ToUpper(component.get("type").text()) }

func (r *templateReader) readComponents(list raw) {
	var components []raw
	for c := range list.elements() {
		components = append(components, c)
	}
	if len(components) == 0 {
		r.fault("the template has no components")
		return
	}
	slices.SortStableFunc(components, func(a, b raw) int { return componentRank(a) - componentRank(b) })
	r.readAll(components)
	if !r.body {
		r.fault("the template has no body")
	}
}

func (r *templateReader) readAll(components []raw) {
	buttons := &buttonReader{templateReader: r}
	seen := map[string]bool{}
	for _, c := range components {
		kind := kindOf(c)
		if seen[kind] && slices.Contains(componentOrder, kind) {
			r.fault("the template has several components of type %s", kind)
		}
		seen[kind] = true
		switch kind {
		case "HEADER":
			r.readHeader(c)
		case "BODY":
			r.readBody(c)
		case "FOOTER":
			r.readFooter(c)
		case "BUTTONS":
			buttons.read(c.get("buttons"))
		case "CAROUSEL":
			r.readCarousel(c.get("cards"))
		case "LIMITED_TIME_OFFER":
			r.readOffer(c.get("limited_time_offer"))
		case "CALL_PERMISSION_REQUEST":
			// Nothing to fill (whatsapp-facts §2.3).
		case "ORDER_STATUS":
			r.slot("order_status", campaign.SlotOrderStatus, true)
			r.unsupported("an order_status component")
		default:
			r.fault("the component type %q is not known", c.get("type").text())
		}
	}
	buttons.limits()
}

func componentRank(c raw) int {
	if i := slices.Index(componentOrder, kindOf(c)); i >= 0 {
		return i
	}
	return len(componentOrder)
}

func (r *templateReader) readHeader(c raw) {
	text := c.get("text").text()
	format := strings.ToUpper(c.get("format").text())
	if format == "" && text != "" {
		format = "TEXT" // samples leave it out
	}
	r.part(campaign.Part{Kind: campaign.PartHeader, Format: format, Text: text})
	switch format {
	case "TEXT":
		if text == "" {
			r.fault("the header has no text")
		}
		if r.placeholders("header", text) > 1 {
			r.fault("the header has more than one placeholder")
		}
		r.tooLong("header", text, campaign.MaxHeader)
	case "IMAGE", "VIDEO", "DOCUMENT", "GIF", "LOCATION":
		r.slot("header", campaign.SlotKind(strings.ToLower(format)), true)
	case "PRODUCT":
		r.slot("header", campaign.SlotProduct, true)
		r.unsupported("a product header")
	case "":
		r.fault("the header has no format")
	default:
		r.fault("the header format %q is not known", format)
	}
}

func (r *templateReader) readBody(c raw) {
	text := c.get("text").text()
	r.body = true
	r.part(campaign.Part{Kind: campaign.PartBody, Text: text})
	limit := campaign.MaxBody
	switch {
	case r.prefix != "":
		limit = maxCardBody
	case r.offer:
		limit = maxOfferBody
	}
	r.tooLong("body", text, limit)
	if text != "" {
		r.placeholders("body", text)
		return
	}
	if r.template.Category == campaign.CategoryAuthentication {
		// The provider writes the text of an authentication template; its one
		// parameter is the code (whatsapp-facts §2.3).
		r.slot("body.1", campaign.SlotText, true)
		r.numbered = "1"
		return
	}
	r.fault("the body has no text")
}

func (r *templateReader) readFooter(c raw) {
	text := c.get("text").text()
	r.part(campaign.Part{Kind: campaign.PartFooter, Text: text})
	r.tooLong("footer", text, maxFooter)
	if len(campaign.Placeholders(text)) > 0 {
		r.fault("the footer has a placeholder, and cannot have one")
	}
	if r.offer {
		r.notice("a limited-time offer has no footer")
	}
}

func (r *templateReader) readOffer(offer raw) {
	r.offer = true
	text := offer.get("text").text()
	r.part(campaign.Part{Kind: campaign.PartOffer, Text: text})
	r.tooLong("offer", text, maxOfferText)
	r.slot("limited_time_offer", campaign.SlotOffer, string(offer.get("has_expiration")) == "true")
	r.unsupported("a limited_time_offer component")
}

func (r *templateReader) readCarousel(cards raw) {
	r.unsupported("a carousel component")
	count := 0
	for card := range cards.elements() {
		var components []raw
		for c := range card.get("components").elements() {
			components = append(components, c)
		}
		slices.SortStableFunc(components, func(a, b raw) int { return componentRank(a) - componentRank(b) })
		// A carousel within a card would be a card without end.
		components = slices.DeleteFunc(components, func(c raw) bool { return kindOf(c) == "CAROUSEL" })
		body := r.body
		r.prefix = "card." + strconv.Itoa(count) + "."
		r.readAll(components)
		r.prefix, r.body = "", body
		count++
	}
	if count < minCards || count > maxCards {
		r.notice("the carousel has %d cards, %d to %d are allowed", count, minCards, maxCards)
	}
}

// sortNumbers orders names by their number; names that are no numbers keep their
// order.
func sortNumbers(names []string) {
	slices.SortStableFunc(names, func(a, b string) int {
		x, okX := raw(a).integer()
		y, okY := raw(b).integer()
		if okX && okY {
			return x - y
		}
		return 0
	})
}

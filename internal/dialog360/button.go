package dialog360

import (
	"fmt"
	"strings"

	"github.com/campaignd/campaignd/internal/campaign"
)

// buttonReader reads the buttons of a template, or of one card.
type buttonReader struct {
	*templateReader
	count  int
	kinds  map[string]int
	groups int    // runs of quick replies
	last   string // the kind of the button before
}

func (r *buttonReader) read(list raw) {
	r.kinds = map[string]int{}
	for b := range list.elements() {
		r.readButton(b)
		r.count++
	}
	if r.count == 0 {
		r.notice("the buttons component has no buttons")
	}
}

func (r *buttonReader) readButton(b raw) {
	kind := kindOf(b)
	label := b.get("text").text()
	url := b.get("url").text()
	if r.isOTP(kind, b, url) {
		kind = "OTP"
	}
	r.kinds[kind]++
	if kind == "QUICK_REPLY" && r.last != "QUICK_REPLY" {
		r.groups++
	}
	r.last = kind

	key := campaign.ButtonKey(r.count)
	button := fmt.Sprintf("%s (%s)", r.prefix+key, firstText(label, strings.ToLower(kind)))
	r.part(campaign.Part{Kind: campaign.PartButton, Format: kind, Index: r.count, Text: firstText(label, buttonLabels[kind]), URL: url})
	r.tooLong("label of "+button, label, maxLabel)

	switch kind {
	case "QUICK_REPLY":
		// The payload is the button's text unless another is given.
		r.slot(key, campaign.SlotQuickReply, false)
	case "URL":
		r.readURL(key, button, url)
	case "PHONE_NUMBER":
		r.tooLong("phone number of "+button, b.get("phone_number").text(), maxButtonPhone)
	case "COPY_CODE":
		r.slot(key, campaign.SlotCopyCode, true)
	case "VOICE_CALL":
		r.slot(key, campaign.SlotVoiceCall, false)
	case "REQUEST_CONTACT_INFO", "CALL_PERMISSION_REQUEST":
		// Nothing to fill.
	case "OTP":
		r.slot(key, campaign.SlotOTP, true)
		r.unsupported("an otp button")
	case "FLOW":
		r.slot(key, campaign.SlotFlow, false)
		r.unsupported("a flow button")
	case "CATALOG":
		r.slot(key, campaign.SlotCatalog, false)
		r.unsupported("a catalog button")
	case "MPM":
		r.slot(key, campaign.SlotMPM, true)
		r.unsupported("an mpm button")
	case "SPM":
		// Its product is the header's parameter.
		r.unsupported("an spm button")
	case "ORDER_DETAILS":
		r.slot(key, campaign.SlotOrder, true)
		r.unsupported("an order_details button")
	default:
		r.fault("the button type %q is not known", b.get("type").text())
	}
}

// The labels that the provider writes itself where a template has none.
var buttonLabels = map[string]string{
	"COPY_CODE": "Copy code", "OTP": "Copy code", "CATALOG": "View catalog", "VOICE_CALL": "Call on WhatsApp",
}

// isOTP recognises the button of a one-time password, which some lists show as
// a URL (whatsapp-facts §1.3): the code is then the variable of a URL at
// WhatsApp itself.
func (r *buttonReader) isOTP(kind string, b raw, url string) bool {
	if kind == "OTP" || b.get("otp_type").text() != "" {
		return true
	}
	if kind != "URL" {
		return false
	}
	return strings.Contains(url, "whatsapp.com/otp") ||
		r.template.Category == campaign.CategoryAuthentication && len(campaign.Placeholders(url)) > 0
}

// readURL notes a URL button; it takes a parameter if and only if its URL holds a
// placeholder.
func (r *buttonReader) readURL(key, button, url string) {
	places := campaign.Placeholders(url)
	if url == "" {
		r.fault("%s has no URL", button)
	}
	if len(places) > 0 {
		r.slot(key, campaign.SlotURL, true)
	}
	if len(places) > 1 {
		r.fault("the URL of %s has more than one placeholder", button)
	}
	for _, p := range places {
		if !p.Positional() && !p.Named() {
			r.fault("{{%s}} in the URL of %s is no placeholder", p.Name, button)
		}
	}
	r.tooLong("URL of "+button, url, campaign.MaxURL)
}

// limits notes more buttons than the provider allows.
func (r *buttonReader) limits() {
	total := maxButtons
	if r.prefix != "" {
		total = maxCardButtons
	}
	for _, l := range [...]struct {
		what         string
		count, limit int
	}{
		{"buttons", r.count, total},
		{"quick replies", r.kinds["QUICK_REPLY"], maxQuickReplies},
		{"URL buttons", r.kinds["URL"], maxURLButtons},
		{"phone number buttons", r.kinds["PHONE_NUMBER"], maxPhoneButtons},
		{"copy code buttons", r.kinds["COPY_CODE"], maxCopyButtons},
	} {
		if l.count > l.limit {
			r.notice("%d %s, %d at most", l.count, l.what, l.limit)
		}
	}
	if r.groups > 1 {
		r.notice("the quick replies do not stand together")
	}
}

package campaign

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The provider's limits on what fills a template (whatsapp-facts §2.3, §2.4), in
// characters. A character is a Unicode code point: the documents say no more
// than "characters".
const (
	MaxBody    = 1024 // after substitution
	MaxHeader  = 60   // after substitution
	MaxURL     = 2000 // suffix included
	MaxPayload = 256  // of a quick reply; the documented bound of reply ids
	// MaxCoupon is 20 in the send reference and 15 in the component reference:
	// the smaller is safe.
	MaxCoupon = 15
	// MaxSpaces is how many spaces may stand in a row in a text (132018).
	MaxSpaces = 4
)

// Problem is a rule of the provider that a parameter breaks. The reason never
// holds the value, which may be personal data.
type Problem struct {
	Slot   string `json:"slot"`
	Reason string `json:"reason"`
}

func (p Problem) String() string { return p.Slot + ": " + p.Reason }

// Checker holds what is needed to check the parameters of one template for a
// million recipients. It is safe for concurrent use.
type Checker struct {
	slots   []Slot
	keys    []string
	lengths []length
}

// length is a text of the template whose size depends on its parameters.
type length struct {
	what   string // as a person calls it
	limit  int
	static int // characters outside placeholders
	places []place
}

type place struct {
	slot  string
	times int // the same placeholder may stand several times
}

// NewChecker prepares the rules of one template.
func NewChecker(t *Template) *Checker {
	c := &Checker{slots: t.Slots, keys: make([]string, len(t.Slots))}
	for i, s := range t.Slots {
		c.keys[i] = s.Key
	}
	for _, part := range t.Parts {
		switch {
		case part.Kind == PartHeader && part.Text != "":
			c.measure("the header", MaxHeader, part.Text, func(name string) string { return "header." + name })
		case part.Kind == PartBody:
			c.measure("the body", MaxBody, part.Text, func(name string) string { return "body." + name })
		case part.Kind == PartButton && part.URL != "":
			key := ButtonKey(part.Index)
			c.measure("the URL", MaxURL, part.URL, func(string) string { return key })
		}
	}
	return c
}

// measure notes a text whose placeholders are slots of the template.
func (c *Checker) measure(what string, limit int, text string, key func(name string) string) {
	l := length{what: what, limit: limit, static: utf8.RuneCountInString(text)}
	for _, p := range Placeholders(text) {
		slot := key(p.Name)
		if !slices.Contains(c.keys, slot) {
			continue // plain braces
		}
		l.static -= utf8.RuneCountInString(text[p.Start:p.End])
		if i := slices.IndexFunc(l.places, func(p place) bool { return p.slot == slot }); i >= 0 {
			l.places[i].times++
		} else {
			l.places = append(l.places, place{slot: slot, times: 1})
		}
	}
	if len(l.places) > 0 {
		c.lengths = append(c.lengths, l)
	}
}

// Check gives every rule of the provider that the parameters break, in the
// order of the template's slots; nil means that they fit. One bad value would
// otherwise cost a call for each recipient (whatsapp-facts §2.2).
func (c *Checker) Check(p Parameters) []Problem {
	var problems []Problem
	known := 0
	for _, slot := range c.slots {
		value, given := p[slot.Key]
		if given {
			known++
		}
		if reason := checkSlot(slot, value, given); reason != "" {
			problems = append(problems, Problem{slot.Key, reason})
		}
	}
	if known < len(p) {
		problems = append(problems, c.unknown(p)...)
	}
	for _, l := range c.lengths {
		size := l.static
		for _, place := range l.places {
			size += place.times * utf8.RuneCountInString(p[place.slot].Text)
		}
		if size > l.limit {
			problems = append(problems, Problem{l.places[len(l.places)-1].slot,
				fmt.Sprintf("%s would be %d characters long with its values, %d at most", l.what, size, l.limit)})
		}
	}
	return problems
}

// Check gives every rule of the provider that the parameters break. For many
// recipients use a Checker.
func (t *Template) Check(p Parameters) []Problem { return NewChecker(t).Check(p) }

func (c *Checker) unknown(p Parameters) []Problem {
	var problems []Problem
	for _, key := range slices.Sorted(maps.Keys(p)) {
		if slices.Contains(c.keys, key) {
			continue
		}
		reason := "the template has no such slot"
		switch meant := closest(key, c.keys); {
		case meant != "":
			reason += fmt.Sprintf("; did you mean %q?", meant)
		case len(c.keys) == 0:
			reason += "; it takes no parameters"
		default:
			reason += "; it has " + strings.Join(c.keys, ", ")
		}
		problems = append(problems, Problem{key, reason})
	}
	return problems
}

// checkSlot gives the reason why a value does not fit its slot, or "".
func checkSlot(slot Slot, v Value, given bool) string {
	if !given || v.Empty() {
		switch {
		case !slot.Required:
			return ""
		case given:
			return "is empty"
		}
		return "is missing"
	}
	switch slot.Kind {
	case SlotText, SlotURL, SlotQuickReply, SlotCopyCode, SlotVoiceCall:
		if v.Media != nil || v.Location != nil {
			return "takes a text"
		}
		return checkString(slot.Kind, v.Text)
	case SlotImage, SlotVideo, SlotDocument, SlotGIF:
		if v.Media == nil || v.Text != "" || v.Location != nil {
			return fmt.Sprintf(`takes a medium: {"%s":{"link":"https://…"}}`, slot.Kind)
		}
		return checkMedia(slot.Kind, v.Media)
	case SlotLocation:
		if v.Location == nil || v.Text != "" || v.Media != nil {
			return `takes a location: {"location":{"latitude":"…","longitude":"…"}}`
		}
		return checkLocation(v.Location)
	}
	return fmt.Sprintf("is of kind %s, which this version cannot fill", slot.Kind)
}

func checkString(kind SlotKind, text string) string {
	switch {
	case strings.TrimSpace(text) == "":
		return "is blank" // 131008
	case !utf8.ValidString(text):
		return "is not valid UTF-8"
	case strings.IndexByte(text, 0) >= 0:
		return "contains a NUL character"
	}
	switch kind {
	case SlotText:
		return checkText(text)
	case SlotURL:
		return checkSuffix(text)
	case SlotCopyCode:
		return checkCoupon(text)
	}
	if n := utf8.RuneCountInString(text); n > MaxPayload {
		return fmt.Sprintf("is %d characters long, %d at most", n, MaxPayload)
	}
	return ""
}

// checkText applies 132018: no newline, carriage return, tab, nor five or more
// spaces in a row.
func checkText(text string) string {
	spaces := 0
	for i := range len(text) {
		switch text[i] {
		case '\n', '\r':
			return "contains a line break"
		case '\t':
			return "contains a tab"
		case ' ':
			if spaces++; spaces > MaxSpaces {
				return fmt.Sprintf("contains more than %d spaces in a row", MaxSpaces)
			}
		default:
			spaces = 0
		}
	}
	return ""
}

// checkSuffix refuses what cannot stand in a URL (RFC 3986 §2; letters outside
// ASCII are left to the provider, which encodes them).
func checkSuffix(text string) string {
	for i, r := range text {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			return "contains a space or a control character, which a URL cannot hold; write %20"
		case strings.ContainsRune("\"<>\\^`{|}", r):
			return fmt.Sprintf("contains %q, which a URL cannot hold; percent-encode it", r)
		case r == '%' && !hexPair(text[i+1:]):
			return "contains a % that is not followed by two hexadecimal digits; write %25"
		}
	}
	return ""
}

func hexPair(s string) bool {
	return len(s) >= 2 && hexDigit(s[0]) && hexDigit(s[1])
}

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func checkCoupon(text string) string {
	for i := range len(text) {
		c := text[i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			continue
		}
		return "contains something else than the letters a-z, A-Z and digits"
	}
	if len(text) > MaxCoupon {
		return fmt.Sprintf("is %d characters long, %d at most", len(text), MaxCoupon)
	}
	return ""
}

func checkMedia(kind SlotKind, m *Media) string {
	switch {
	case m.Kind != kind:
		return fmt.Sprintf("takes %s, not %s", article(kind), article(m.Kind))
	case m.sources() == 0:
		return fmt.Sprintf("the %s has neither link nor id nor file", kind)
	case m.sources() > 1:
		return fmt.Sprintf("the %s has more than one of link, id and file", kind)
	case m.Filename != "" && kind != SlotDocument:
		return "only a document has a filename"
	case strings.ContainsFunc(m.Filename, unicode.IsControl):
		return "the filename contains a control character"
	case m.ID != "" && strings.ContainsFunc(m.ID, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return "the media id contains a space"
	case m.Link != "":
		return checkLink(m.Link)
	}
	return ""
}

// checkLink wants what the provider can fetch: an https URL with a host.
func checkLink(link string) string {
	if strings.ContainsFunc(link, unicode.IsSpace) {
		return "the link contains a space"
	}
	u, err := url.Parse(link)
	switch {
	case err != nil:
		return "the link is not a URL"
	case u.Scheme != "https":
		return "the link must begin with https://"
	case u.Hostname() == "":
		return "the link has no host"
	}
	return ""
}

func checkLocation(l *Location) string {
	switch {
	case !inRange(l.Latitude, 90):
		return "the latitude is not a number from -90 to 90"
	case !inRange(l.Longitude, 180):
		return "the longitude is not a number from -180 to 180"
	case strings.ContainsFunc(l.Name, unicode.IsControl), strings.ContainsFunc(l.Address, unicode.IsControl):
		return "the name or the address contains a control character"
	}
	return ""
}

// inRange wants a plain decimal number: "Inf", "0x10" and "1e2" parse as floats
// and are none.
func inRange(text string, limit float64) bool {
	if strings.Trim(text, "+-.0123456789") != "" {
		return false
	}
	n, err := strconv.ParseFloat(text, 64)
	return err == nil && n >= -limit && n <= limit
}

func article(kind SlotKind) string {
	if kind == SlotImage {
		return "an image"
	}
	if kind == "" {
		return "a medium of no kind"
	}
	return "a " + string(kind)
}

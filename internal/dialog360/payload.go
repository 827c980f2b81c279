package dialog360

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/campaignd/campaignd/internal/campaign"
)

// maxOpaque bounds biz_opaque_callback_data (whatsapp-facts §2.1).
const maxOpaque = 512

// AppendMessage appends the body of POST /messages for a request (whatsapp-facts
// §2). It is written by hand and not by reflection because it is built once for
// every message. The error says what a request lacks and names the slot, never
// the number or a value: a plan checks all of this, so here it is the last guard.
//
// The sandbox takes the same body; the old dialect that it still understands
// asks for a language policy, of which there is only one (§1.1, §1.2).
func AppendMessage(dst []byte, dialect string, r *campaign.Request) ([]byte, error) {
	t := r.Template
	switch {
	case (t == nil) == (r.Text == ""):
		return dst, errors.New("the request has no template, or a text beside it")
	case t != nil && (t.Name == "" || t.Language == ""):
		return dst, errors.New("the template has no name or no language")
	case len(r.To) < 2 || r.To[0] != '+':
		// Without + the provider prepends the sender's country (§0, trap 5).
		return dst, errors.New("the recipient is not a number in E.164 with +")
	case len(r.Opaque) > maxOpaque:
		return dst, fmt.Errorf("the opaque data is %d characters long, %d at most", len(r.Opaque), maxOpaque)
	}
	dst = append(dst, `{"messaging_product":"whatsapp","recipient_type":"individual","to":`...)
	dst = appendString(dst, r.To)
	if t == nil {
		dst = append(dst, `,"type":"text","text":{"preview_url":false,"body":`...)
		dst = appendString(dst, r.Text)
		return appendEnd(append(dst, '}'), r.Opaque), nil
	}
	dst = append(dst, `,"type":"template","template":{"name":`...)
	dst = appendString(dst, t.Name)
	dst = append(dst, `,"language":{"code":`...)
	dst = appendString(dst, t.Language)
	if dialect == campaign.DialectSandbox {
		dst = append(dst, `,"policy":"deterministic"`...)
	}
	dst = append(dst, '}')
	dst, err := appendComponents(dst, t, r.Parameters)
	if err != nil {
		return dst, err
	}
	return appendEnd(append(dst, '}'), r.Opaque), nil
}

// appendEnd ends a body with what every status of the message echoes.
func appendEnd(dst []byte, opaque string) []byte {
	if opaque != "" {
		dst = append(dst, `,"biz_opaque_callback_data":`...)
		dst = appendString(dst, opaque)
	}
	return append(dst, '}')
}

// appendComponents writes the components that have something to fill, and
// nothing where there is none. Slots stand in the order of the template, so those
// of one component are neighbours and positional ones are in order.
func appendComponents(dst []byte, t *campaign.Template, p campaign.Parameters) ([]byte, error) {
	open := "" // the component whose parameters are being written
	for i := range t.Slots {
		slot := &t.Slots[i]
		value, given := p[slot.Key]
		if !given || value.Empty() {
			if slot.Required {
				return dst, fmt.Errorf("slot %s is missing", slot.Key)
			}
			continue
		}
		component, name, _ := strings.Cut(slot.Key, ".")
		if component == "button" {
			component = slot.Key // each button is a component of its own
		}
		switch {
		case open == component:
			dst = append(dst, ',')
		default:
			if open == "" {
				dst = append(dst, `,"components":[`...)
			} else {
				dst = append(dst, `]},`...)
			}
			var err error
			if dst, err = appendComponent(dst, slot, name); err != nil {
				return dst, err
			}
			open = component
		}
		var err error
		if dst, err = appendParameter(dst, t, slot, name, value); err != nil {
			return dst, err
		}
	}
	if open != "" {
		dst = append(dst, `]}]`...)
	}
	return dst, nil
}

// appendComponent writes a component up to its first parameter. name is the
// slot's key without the first word: of a button its index.
func appendComponent(dst []byte, slot *campaign.Slot, name string) ([]byte, error) {
	switch {
	case slot.Key == "header" || strings.HasPrefix(slot.Key, "header."):
		return append(dst, `{"type":"header","parameters":[`...), nil
	case strings.HasPrefix(slot.Key, "body."):
		return append(dst, `{"type":"body","parameters":[`...), nil
	case strings.HasPrefix(slot.Key, "button."):
		dst = append(dst, `{"type":"button","sub_type":"`...)
		dst = append(dst, slot.Kind...)
		dst = append(dst, `","index":`...)
		dst = appendString(dst, name)
		return append(dst, `,"parameters":[`...), nil
	}
	return dst, fmt.Errorf("slot %s cannot be filled by this version", slot.Key)
}

func appendParameter(dst []byte, t *campaign.Template, slot *campaign.Slot, name string, v campaign.Value) ([]byte, error) {
	switch slot.Kind {
	case campaign.SlotText:
		if v.Text == "" {
			return dst, fmt.Errorf("slot %s takes a text", slot.Key)
		}
		dst = append(dst, `{"type":"text"`...)
		if t.Format == campaign.FormatNamed {
			dst = append(dst, `,"parameter_name":`...)
			dst = appendString(dst, name)
		}
		return appendField(dst, `,"text":`, v.Text), nil
	case campaign.SlotURL:
		return appendText(dst, slot, `{"type":"text","text":`, v)
	case campaign.SlotQuickReply, campaign.SlotVoiceCall:
		return appendText(dst, slot, `{"type":"payload","payload":`, v)
	case campaign.SlotCopyCode:
		return appendText(dst, slot, `{"type":"coupon_code","coupon_code":`, v)
	case campaign.SlotImage, campaign.SlotVideo, campaign.SlotDocument, campaign.SlotGIF:
		return appendMedia(dst, slot, v.Media)
	case campaign.SlotLocation:
		return appendLocation(dst, slot, v.Location)
	}
	return dst, fmt.Errorf("slot %s is of kind %s, which this version cannot fill", slot.Key, slot.Kind)
}

func appendText(dst []byte, slot *campaign.Slot, open string, v campaign.Value) ([]byte, error) {
	if v.Text == "" {
		return dst, fmt.Errorf("slot %s takes a text", slot.Key)
	}
	return appendField(dst, open, v.Text), nil
}

// appendField writes the last field of an object.
func appendField(dst []byte, open, value string) []byte {
	dst = append(dst, open...)
	dst = appendString(dst, value)
	return append(dst, '}')
}

func appendMedia(dst []byte, slot *campaign.Slot, m *campaign.Media) ([]byte, error) {
	switch {
	case m == nil || m.Kind != slot.Kind:
		return dst, fmt.Errorf("slot %s takes a medium of kind %s", slot.Key, slot.Kind)
	case m.ID == "" && m.Link == "" && m.File != "":
		return dst, fmt.Errorf("slot %s holds a file that was not uploaded", slot.Key)
	case m.ID == "" && m.Link == "":
		return dst, fmt.Errorf("slot %s has neither a media id nor a link", slot.Key)
	}
	dst = append(dst, `{"type":"`...)
	dst = append(dst, slot.Kind...)
	dst = append(dst, `","`...)
	dst = append(dst, slot.Kind...)
	if m.ID != "" {
		dst = append(dst, `":{"id":`...)
		dst = appendString(dst, m.ID)
	} else {
		dst = append(dst, `":{"link":`...)
		dst = appendString(dst, m.Link)
	}
	if m.Filename != "" && slot.Kind == campaign.SlotDocument {
		dst = append(dst, `,"filename":`...)
		dst = appendString(dst, m.Filename)
	}
	return append(dst, `}}`...), nil
}

func appendLocation(dst []byte, slot *campaign.Slot, l *campaign.Location) ([]byte, error) {
	if l == nil {
		return dst, fmt.Errorf("slot %s takes a location", slot.Key)
	}
	dst = append(dst, `{"type":"location","location":{"latitude":`...)
	dst = appendString(dst, l.Latitude)
	dst = append(dst, `,"longitude":`...)
	dst = appendString(dst, l.Longitude)
	if l.Name != "" {
		dst = append(dst, `,"name":`...)
		dst = appendString(dst, l.Name)
	}
	if l.Address != "" {
		dst = append(dst, `,"address":`...)
		dst = appendString(dst, l.Address)
	}
	return append(dst, `}}`...), nil
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string (RFC 8259 §7). Bytes that are no UTF-8
// become U+FFFD, as encoding/json does.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

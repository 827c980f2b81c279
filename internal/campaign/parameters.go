package campaign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The keys of a value that is an object: {"image":{"link":"…"}}.
var valueKeys = []string{
	string(SlotImage), string(SlotVideo), string(SlotDocument), string(SlotGIF), string(SlotLocation),
}

// Empty reports whether nothing is given: the value of an optional slot may be
// empty, and is then left out of the request.
func (v Value) Empty() bool { return v.Text == "" && v.Media == nil && v.Location == nil }

// MarshalJSON writes a text as a string, a medium as {"image":{"link":"…"}} and a
// location as {"location":{…}} (design §10).
func (v Value) MarshalJSON() ([]byte, error) {
	switch {
	case v.Media != nil:
		return json.Marshal(map[SlotKind]mediaJSON{v.Media.Kind: {
			ID: v.Media.ID, Link: v.Media.Link, File: v.Media.File, Filename: v.Media.Filename,
		}})
	case v.Location != nil:
		return json.Marshal(map[SlotKind]*Location{SlotLocation: v.Location})
	}
	return json.Marshal(v.Text)
}

type mediaJSON struct {
	ID       string `json:"id,omitempty"`
	Link     string `json:"link,omitempty"`
	File     string `json:"file,omitempty"`
	Filename string `json:"filename,omitempty"`
}

// UnmarshalJSON reads what MarshalJSON writes. A number or a boolean is taken as
// the text that stands there. Anything else, and any key that is not known, is
// an ErrInvalid that names it: a misspelt key must not become a message without
// its picture.
func (v *Value) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return invalid("is empty", "")
	}
	switch data[0] {
	case '"':
		*v = Value{}
		return json.Unmarshal(data, &v.Text)
	case '{':
		return v.unmarshalObject(data)
	case '[':
		return invalid("is a list", "a value is a text, or an object such as "+`{"image":{"link":"https://…"}}`)
	case 'n':
		return invalid("is null", "leave the slot out, or give it a text")
	}
	*v = Value{Text: string(data)} // 5, 1.50, true: as written
	return nil
}

func (v *Value) unmarshalObject(data []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	if len(object) != 1 {
		return invalid(fmt.Sprintf("has %d keys", len(object)), "exactly one of "+strings.Join(valueKeys, ", "))
	}
	for key, content := range object {
		if !slices.Contains(valueKeys, key) {
			return unknownKey(key, valueKeys)
		}
		if SlotKind(key) == SlotLocation {
			location, err := readLocation(content)
			*v = Value{Location: location}
			return err
		}
		media, err := readMedia(SlotKind(key), content)
		*v = Value{Media: media}
		return err
	}
	return nil
}

func readMedia(kind SlotKind, data []byte) (*Media, error) {
	known := []string{"link", "id", "file"}
	if kind == SlotDocument {
		known = append(known, "filename")
	}
	fields, err := stringFields(string(kind), data, known)
	if err != nil {
		return nil, err
	}
	m := &Media{Kind: kind, ID: fields["id"], Link: fields["link"], File: fields["file"], Filename: fields["filename"]}
	if m.sources() != 1 {
		return nil, invalid(fmt.Sprintf("%s has %d of link, id and file", kind, m.sources()), "give exactly one of link, id and file")
	}
	return m, nil
}

// sources counts how many of id, link and file are given; one is right.
func (m *Media) sources() int {
	n := 0
	for _, s := range [...]string{m.ID, m.Link, m.File} {
		if s != "" {
			n++
		}
	}
	return n
}

func readLocation(data []byte) (*Location, error) {
	fields, err := stringFields("location", data, []string{"latitude", "longitude", "name", "address"})
	if err != nil {
		return nil, err
	}
	return &Location{
		Latitude: fields["latitude"], Longitude: fields["longitude"],
		Name: fields["name"], Address: fields["address"],
	}, nil
}

// stringFields reads a flat object whose keys are all among known. Numbers are
// taken as written: latitudes come both ways.
func stringFields(name string, data []byte, known []string) (map[string]string, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil || object == nil {
		return nil, invalid(name+" is not an object", "keys: "+strings.Join(known, ", "))
	}
	fields := make(map[string]string, len(object))
	for key, raw := range object {
		if !slices.Contains(known, key) {
			return nil, unknownKey(name+"."+key, prefixed(name, known))
		}
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			var number json.Number
			if err := json.Unmarshal(raw, &number); err != nil {
				return nil, invalid(fmt.Sprintf("%s.%s is not a text", name, key), "")
			}
			text = number.String()
		}
		fields[key] = text
	}
	return fields, nil
}

func prefixed(prefix string, words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = prefix + "." + w
	}
	return out
}

// UnmarshalJSON reads an object of slot to value. Errors are ErrInvalid and name
// the slot; a slot that stands twice is one, because the later would silently
// win.
func (p *Parameters) UnmarshalJSON(data []byte) error {
	if plain, ok := plainTexts(data); ok {
		*p = plain
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	if token == nil {
		*p = nil
		return nil
	}
	if token != json.Delim('{') {
		return invalid("parameters are not an object", `write {"body.1":"…"}`)
	}
	read := Parameters{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if _, twice := read[key]; twice {
			return invalid(fmt.Sprintf("slot %q is given twice", key), "")
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return err
		}
		var value Value
		if err := value.UnmarshalJSON(raw); err != nil {
			return inSlot(key, err)
		}
		read[key] = value
	}
	*p = read
	return nil
}

// plainTexts reads the form that nearly every message has, texts without escapes,
// as the database prints it, 12 times as fast as the decoder (BenchmarkParameters).
// Anything else is left to the decoder, which also explains what is wrong.
func plainTexts(data []byte) (Parameters, bool) {
	if len(data) < 2 || data[0] != '{' || data[len(data)-1] != '}' {
		return nil, false
	}
	text := string(data[1 : len(data)-1])
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r == '\\' || r < ' ' }) {
		return nil, false
	}
	read := Parameters{}
	for text != "" {
		var key, value string
		var ok bool
		if key, text, ok = quoted(text); !ok {
			return nil, false
		}
		if text, ok = strings.CutPrefix(text, ":"); !ok {
			return nil, false
		}
		if value, text, ok = quoted(strings.TrimPrefix(text, " ")); !ok {
			return nil, false
		}
		if _, twice := read[key]; twice {
			return nil, false
		}
		read[key] = Value{Text: value}
		if text == "" {
			break
		}
		if text, ok = strings.CutPrefix(text, ","); !ok {
			return nil, false
		}
		if text = strings.TrimPrefix(text, " "); text == "" {
			return nil, false
		}
	}
	return read, true
}

func quoted(text string) (inner, rest string, ok bool) {
	if text, ok = strings.CutPrefix(text, `"`); !ok {
		return "", "", false
	}
	return strings.Cut(text, `"`)
}

func inSlot(key string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e.With(fmt.Sprintf("slot %q: %s", key, e.Message), e.Hint)
	}
	return fmt.Errorf("slot %q: %w", key, err)
}

func invalid(message, hint string) error { return ErrInvalid.With(message, hint) }

func unknownKey(key string, known []string) error {
	hint := "known keys: " + strings.Join(known, ", ")
	if meant := closest(key, known); meant != "" {
		hint = fmt.Sprintf("did you mean %q?", meant)
	}
	return invalid(fmt.Sprintf("key %q is not known", key), hint)
}

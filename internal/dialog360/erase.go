package dialog360

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
)

// Traces are the forms under which one person appears in what the provider sent:
// numbers, business-scoped user ids, and message ids, which are base64 of a
// record with the number in it (whatsapp-facts §1.2).
type Traces struct {
	numbers []string // digits
	parts   []string // of message ids: what base64 makes of a number, but for the ends
	userIDs []string
}

// NewTraces gives the traces of a person with these numbers, in E.164 or as
// digits, and user ids.
func NewTraces(numbers, userIDs []string) *Traces {
	t := &Traces{}
	for _, number := range numbers {
		number = strings.TrimPrefix(number, "+")
		if number == "" || slices.Contains(t.numbers, number) {
			continue
		}
		t.numbers = append(t.numbers, number)
		t.parts = append(t.parts, encoded(number)...)
	}
	for _, id := range userIDs {
		if id != "" {
			t.userIDs = append(t.userIDs, id)
		}
	}
	return t
}

// encoded gives what base64 makes of digits inside a longer record, wherever in
// it they begin: the characters that depend on nothing else. They lack up to four
// bits of the last digit, so others share them.
func encoded(digits string) []string {
	parts := make([]string, 0, 3)
	for before := range 3 {
		text := base64.StdEncoding.EncodeToString(append(make([]byte, before), digits...))
		// Six bits a character: the first ones hold what stands before, the last one
		// what follows.
		first := (before*8 + 5) / 6
		parts = append(parts, text[first:(before+len(digits))*8/6])
	}
	return parts
}

// Patterns are what to look for in a body: one without any of them, and without a
// shared contact ("phones"), whose number may be written with spaces, holds
// nothing of the person. One with them may still be about somebody else: In tells.
func (t *Traces) Patterns() [][]byte {
	var patterns [][]byte
	for _, text := range slices.Concat(t.numbers, t.parts, t.userIDs) {
		patterns = append(patterns, []byte(text))
	}
	return patterns
}

// In reports whether a text names the person: an id of theirs, a number of theirs
// on its own, however it is punctuated, or a message id made of the number.
func (t *Traces) In(text string) bool {
	return containsAny(text, t.userIDs) || t.written(text) || containsAny(text, t.parts) && t.inBase64(text)
}

func containsAny(text string, words []string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}

// written reports whether a number of theirs stands in a text as digits, and is
// not part of a longer one.
func (t *Traces) written(text string) bool {
	run, unbroken, plus := make([]byte, 0, 32), 0, false
	theirs := func() bool {
		return t.has(run) || t.has(bytes.TrimPrefix(run, []byte("00"))) ||
			!plus && t.has(run[unbroken:]) // behind another number; a plus says where one begins
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			run = append(run, c)
		case strings.IndexByte(" -()./", c) >= 0:
			// Between the digits of one number; but two numbers may stand side by side.
			if theirs() {
				return true
			}
			unbroken = len(run)
		default:
			if theirs() {
				return true
			}
			run, unbroken, plus = run[:0], 0, c == '+'
		}
	}
	return theirs()
}

func (t *Traces) has(digits []byte) bool {
	return slices.ContainsFunc(t.numbers, func(number string) bool { return string(digits) == number })
}

var plainBase64 = strings.NewReplacer("-", "+", "_", "/")

// inBase64 decodes what may be base64 in a text and looks for a whole number. In
// the record its length stands before it and 0x15 behind it: neither is a digit.
// An id that is cut off or garbled inside the number fits its neighbours as well
// and names nobody; one that still holds the last digit names the person.
func (t *Traces) inBase64(text string) bool {
	for word := range strings.FieldsFuncSeq(text, func(c rune) bool { return !base64Letter(c) }) {
		word = plainBase64.Replace(word)
		for before := range min(4, len(word)) { // letters may stand before it
			// A lone last letter is an error, but what comes before it is decoded.
			record, _ := base64.RawStdEncoding.DecodeString(word[before:])
			for digits := range bytes.FieldsFuncSeq(record, func(c rune) bool { return c < '0' || c > '9' }) {
				if t.has(digits) {
					return true
				}
			}
		}
	}
	return false
}

func base64Letter(c rune) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("+/-_", c)
}

// Erase removes a person from a body: of every list the elements that are about
// them, and what names them outside of lists. What is about others stays. A body
// that is not JSON and names them is emptied.
func (t *Traces) Erase(body []byte) (erased []byte, changed bool) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		if t.In(string(body)) {
			return []byte(`{}`), true
		}
		return body, false
	}
	clean, named := t.erase(document)
	if !named {
		return body, false
	}
	text, err := json.Marshal(clean)
	if err != nil || t.In(string(text)) {
		return []byte(`{}`), true
	}
	return text, true
}

// erase gives a value without the person, and whether they were in it.
func (t *Traces) erase(value any) (clean any, named bool) {
	switch value := value.(type) {
	case []any:
		kept := make([]any, 0, len(value))
		for _, element := range value {
			if t.names(element) {
				named = true
				continue
			}
			element, inside := t.erase(element)
			named = named || inside
			kept = append(kept, element)
		}
		return kept, named
	case map[string]any:
		for key, member := range value {
			if t.In(key) {
				delete(value, key)
				named = true
				continue
			}
			member, inside := t.erase(member)
			if inside {
				value[key], named = member, true
			}
		}
		return value, named
	case string:
		if t.In(value) {
			return "", true
		}
	case json.Number:
		if t.In(value.String()) {
			return json.Number("0"), true
		}
	}
	return value, false
}

// names reports whether an element of a list is about the person and goes as a
// whole. What holds lists of its own (an entry, a change) is looked into instead:
// its other elements are about others. The lists of a message or a status are
// parts of it.
func (t *Traces) names(element any) bool {
	if object, ok := element.(map[string]any); ok && !part(object) && holdsList(object) {
		return false
	}
	return t.within(element)
}

// within reports whether a value names the person at any depth.
func (t *Traces) within(value any) bool {
	switch value := value.(type) {
	case string:
		return t.In(value)
	case json.Number:
		return t.In(value.String())
	case []any:
		return slices.ContainsFunc(value, t.within)
	case map[string]any:
		for key, member := range value {
			if t.In(key) || t.within(member) {
				return true
			}
		}
	}
	return false
}

func holdsList(value any) bool {
	switch value := value.(type) {
	case []any:
		return true
	case map[string]any:
		for _, member := range value {
			if holdsList(member) {
				return true
			}
		}
	}
	return false
}

// part reports whether an object is a message, a status or the like: it has an id
// and a time.
func part(object map[string]any) bool {
	_, id := object["id"]
	_, at := object["timestamp"]
	return id && at
}

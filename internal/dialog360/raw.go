package dialog360

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// raw is one JSON value inside a document that document has found valid; nil is
// an absent value. It is looked into without decoding the rest, so an element
// of a wrong type costs nobody but itself, and a batch of a thousand statuses is
// scanned instead of decoded level by level. Nothing here recurses.
type raw []byte

var (
	errNotJSON = errors.New("the body is not JSON")
	// errTooDeep: JSON, but nested beyond what encoding/json checks (10,000).
	errTooDeep = errors.New("the body is nested too deeply")
)

// document checks a whole body; every other method of raw relies on it.
func document(body []byte) (raw, error) {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	if json.Valid(body) {
		return raw(body).trim(), nil
	}
	var ignored json.RawMessage
	if err := json.Unmarshal(body, &ignored); err != nil && strings.Contains(err.Error(), "max depth") {
		return nil, errTooDeep
	}
	return nil, errNotJSON
}

func (r raw) trim() raw { return bytes.Trim(r, " \t\r\n") }

func (r raw) isObject() bool { return len(r) > 0 && r[0] == '{' }
func (r raw) isArray() bool  { return len(r) > 0 && r[0] == '[' }
func (r raw) isString() bool { return len(r) > 0 && r[0] == '"' }
func (r raw) isNumber() bool { return len(r) > 0 && (r[0] == '-' || r[0] >= '0' && r[0] <= '9') }

// absent reports whether there is no value, or null.
func (r raw) absent() bool { return len(r) == 0 || r[0] == 'n' }

// fields gives the members of an object in order, repeated keys included; of
// anything else, nothing.
func (r raw) fields() iter.Seq2[string, raw] {
	return func(yield func(string, raw) bool) {
		if !r.isObject() {
			return
		}
		for i := nextToken(r, 1); r[i] != '}'; {
			end := skipValue(r, i)
			key := r[i:end]
			i = nextToken(r, end) // the colon
			i = nextToken(r, i+1) // the value
			end = skipValue(r, i)
			if !yield(key.word(), r[i:end]) {
				return
			}
			if i = nextToken(r, end); r[i] == ',' {
				i = nextToken(r, i+1)
			}
		}
	}
}

// elements gives the elements of an array, and an object as its own only
// element, because senders of one thing forget the array; of anything else,
// nothing.
func (r raw) elements() iter.Seq[raw] {
	return func(yield func(raw) bool) {
		if r.isObject() {
			yield(r)
			return
		}
		if !r.isArray() {
			return
		}
		for i := nextToken(r, 1); r[i] != ']'; {
			end := skipValue(r, i)
			if !yield(r[i:end]) {
				return
			}
			if i = nextToken(r, end); r[i] == ',' {
				i = nextToken(r, i+1)
			}
		}
	}
}

// objects gives those elements that are objects.
func (r raw) objects() iter.Seq[raw] {
	return func(yield func(raw) bool) {
		for e := range r.elements() {
			if e.isObject() && !yield(e) {
				return
			}
		}
	}
}

// members are the fields of an object, read in one pass: what is large is passed
// over once and not again for each key that is asked for.
type members []member

type member struct {
	key   string
	value raw
}

func (r raw) members() members {
	var m members
	for key, value := range r.fields() {
		m = append(m, member{key, value})
	}
	return m
}

// get gives the value of a key; of a repeated one the last, as in encoding/json,
// unless it is null.
func (m members) get(key string) raw {
	var found raw
	for _, f := range m {
		if f.key == key && (found == nil || !f.value.absent()) {
			found = f.value
		}
	}
	return found
}

// has reports whether a key is there, even as null.
func (m members) has(key string) bool {
	return slices.ContainsFunc(m, func(f member) bool { return f.key == key })
}

// get follows a path of keys; of a repeated key the last one counts, as in
// encoding/json, unless it is null.
func (r raw) get(path ...string) raw {
	for _, key := range path {
		var found raw
		for k, v := range r.fields() {
			if k == key && (found == nil || !v.absent()) {
				found = v
			}
		}
		r = found
	}
	return r
}

// has reports whether one of the keys is there, even as null.
func (r raw) has(keys ...string) bool {
	for k := range r.fields() {
		for _, key := range keys {
			if k == key {
				return true
			}
		}
	}
	return false
}

// text is a string without NUL and invalid UTF-8, which Postgres would refuse,
// or a number as it is written, so that ids beyond 2⁵³ survive. Of anything else
// it is empty.
func (r raw) text() string {
	switch {
	case r.isString():
		return r.word()
	case r.isNumber():
		return string(r)
	}
	return ""
}

// firstText gives the first text that is not empty.
func firstText(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// integer reads a whole number, written as a number or as a string.
func (r raw) integer() (int, bool) {
	t := strings.TrimPrefix(strings.TrimSpace(r.text()), "#")
	if n, err := strconv.Atoi(t); err == nil {
		return n, true
	}
	if f, err := strconv.ParseFloat(t, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int(f), true
	}
	return 0, false
}

// word decodes a JSON string.
func (r raw) word() string {
	inner := r[1 : len(r)-1]
	plain := true
	for _, c := range inner {
		if c == '\\' || c >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		return intern(inner)
	}
	var s string
	if err := json.Unmarshal(bytes.ToValidUTF8(r, nil), &s); err != nil {
		return ""
	}
	return strings.ReplaceAll(s, "\x00", "")
}

// intern spares the allocation of the words that every status repeats.
func intern(b []byte) string {
	switch string(b) {
	case "id":
		return "id"
	case "status":
		return "status"
	case "timestamp":
		return "timestamp"
	case "recipient_id":
		return "recipient_id"
	case "recipient_user_id":
		return "recipient_user_id"
	case "biz_opaque_callback_data":
		return "biz_opaque_callback_data"
	case "conversation":
		return "conversation"
	case "pricing":
		return "pricing"
	case "errors":
		return "errors"
	case "sent":
		return "sent"
	case "delivered":
		return "delivered"
	case "read":
		return "read"
	case "failed":
		return "failed"
	}
	return string(b)
}

// nextToken is the index of the next byte that is not white space.
func nextToken(r raw, i int) int {
	for r[i] == ' ' || r[i] == '\n' || r[i] == '\r' || r[i] == '\t' {
		i++
	}
	return i
}

// skipValue is the index behind the value that begins at i.
func skipValue(r raw, i int) int {
	switch r[i] {
	case '"':
		return skipString(r, i)
	case '{', '[':
		for depth := 0; ; {
			switch r[i] {
			case '"':
				i = skipString(r, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			i++
			if depth == 0 {
				return i
			}
		}
	}
	for i < len(r) && !isDelimiter(r[i]) {
		i++
	}
	return i
}

func skipString(r raw, i int) int {
	for i++; r[i] != '"'; i++ {
		if r[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func isDelimiter(c byte) bool {
	return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\r' || c == '\t'
}

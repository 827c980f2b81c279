package simulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	kindString kind = iota
	kindBool
	kindInteger
	kindObject
	kindArray
	kindDecimal // a number, or a string holding one: the docs show both for coordinates
	kindIndex   // a small integer, or a string holding one: the docs show both for button indexes
)

var kindNames = [...]string{"a string", "a boolean", "an integer", "a JSON object", "a JSON array", "a number", "an integer"}

// shape describes a JSON value. Requests are checked as generic trees, not as Go
// structs, because encoding/json would let pass what the provider refuses: names
// in another case, null for a string, and a missing field for an empty one.
type shape struct {
	kind   kind
	min    int      // least characters, elements or value
	max    int      // most characters, elements or value; 0: no limit
	enum   []string // allowed words; case is not looked at, the docs use both
	fields []field  // of an object; any other property is refused
	open   bool     // of an object: any property will do
	items  *shape   // of an array
	either []string // of an object: exactly one of these is given
	valid  func(c *checker, s string) *refusal
}

type field struct {
	name     string
	required bool
	shape    *shape
}

// checker is the dialect a request is checked in.
type checker struct {
	placeholders bool // documentation placeholders pass where a number, a name or a link is wanted
	sandbox      bool // the old dialect: unknown properties and what Cloud dropped are tolerated
}

// check returns nil or the first thing that is wrong with v. Required fields and
// known ones are looked at in the order of the shape, so that the same request
// always gets the same answer.
func (c *checker) check(v any, s *shape) *refusal {
	switch s.kind {
	case kindString:
		return c.checkString(v, s)
	case kindBool:
		if _, ok := v.(bool); !ok {
			return wrongType(s)
		}
	case kindInteger, kindIndex:
		return checkInteger(v, s)
	case kindDecimal:
		return checkDecimal(v, s)
	case kindObject:
		return c.checkObject(v, s)
	case kindArray:
		return c.checkArray(v, s)
	}
	return nil
}

func (c *checker) checkString(v any, s *shape) *refusal {
	text, ok := v.(string)
	if !ok {
		return wrongType(s)
	}
	if s.enum != nil {
		if !slices.ContainsFunc(s.enum, func(w string) bool { return strings.EqualFold(w, text) }) {
			return refuse(100, "must be one of {"+strings.Join(s.enum, ", ")+"}")
		}
		return nil
	}
	if s.min > 0 && isBlank(text) {
		return refuse(131008, "must not be empty")
	}
	if s.max > 0 && len(text) > s.max && utf8.RuneCountInString(text) > s.max {
		return refuse(100, fmt.Sprintf("must be at most %d characters long", s.max))
	}
	if s.valid != nil {
		return s.valid(c, text)
	}
	return nil
}

func checkInteger(v any, s *shape) *refusal {
	n, ok := integer(v, s.kind == kindIndex)
	if !ok {
		return wrongType(s)
	}
	if n < int64(s.min) || (s.max > 0 && n > int64(s.max)) {
		if s.max > 0 {
			return refuse(131009, fmt.Sprintf("must be between %d and %d", s.min, s.max))
		}
		return refuse(131009, fmt.Sprintf("must be at least %d", s.min))
	}
	return nil
}

// integer reads a JSON number without a fraction and, where asString allows it,
// a string that holds one.
func integer(v any, asString bool) (int64, bool) {
	text, ok := v.(string)
	if ok && !asString {
		return 0, false
	}
	if !ok {
		number, isNumber := v.(json.Number)
		if !isNumber {
			return 0, false
		}
		text = string(number)
	}
	n, err := json.Number(text).Int64()
	return n, err == nil
}

func checkDecimal(v any, s *shape) *refusal {
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case json.Number:
		text = string(v)
	default:
		return wrongType(s)
	}
	f, err := json.Number(text).Float64()
	if err != nil {
		return wrongType(s)
	}
	if !(f >= float64(s.min) && f <= float64(s.max)) { // also refuses NaN
		return refuse(131009, fmt.Sprintf("must be between %d and %d", s.min, s.max))
	}
	return nil
}

func (c *checker) checkObject(v any, s *shape) *refusal {
	object, ok := v.(map[string]any)
	if !ok {
		return wrongType(s)
	}
	known := 0
	for i := range s.fields {
		f := &s.fields[i]
		value, given := object[f.name]
		if !given {
			if f.required {
				return refuse(131008, "is required").at(f.name)
			}
			continue
		}
		known++
		if r := c.check(value, f.shape); r != nil {
			return r.at(f.name)
		}
	}
	if known < len(object) && !s.open && !c.sandbox {
		return unexpected(object, s.fields)
	}
	if s.either != nil {
		given := 0
		for _, name := range s.either {
			if _, ok := object[name]; ok {
				given++
			}
		}
		if given != 1 {
			return refuse(131008, "needs exactly one of "+strings.Join(s.either, " and "))
		}
	}
	return nil
}

// unexpected names the alphabetically first property that is not in fields.
func unexpected(object map[string]any, fields []field) *refusal {
	first := ""
	for name := range object {
		if slices.ContainsFunc(fields, func(f field) bool { return f.name == name }) {
			continue
		}
		if first == "" || name < first {
			first = name
		}
	}
	return refuse(100, "unexpected property").at(first)
}

func (c *checker) checkArray(v any, s *shape) *refusal {
	array, ok := v.([]any)
	if !ok {
		return wrongType(s)
	}
	if len(array) < s.min || (s.max > 0 && len(array) > s.max) {
		if s.max == 0 {
			return refuse(131008, fmt.Sprintf("needs at least %d elements, has %d", s.min, len(array)))
		}
		return refuse(131009, fmt.Sprintf("needs %d to %d elements, has %d", s.min, s.max, len(array)))
	}
	if s.items == nil {
		return nil
	}
	for i, item := range array {
		if r := c.check(item, s.items); r != nil {
			return r.atIndex(i)
		}
	}
	return nil
}

func wrongType(s *shape) *refusal { return refuse(100, "must be "+kindNames[s.kind]) }

func isBlank(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsSpace(r) && r != '\u200b' && r != '\ufeff' }) < 0
}

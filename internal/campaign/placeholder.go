package campaign

import "strings"

// Placeholder is one {{…}} of a template's text.
type Placeholder struct {
	Name       string // without braces and surrounding space: "1" or "first_name"
	Start, End int    // byte offsets of the braces: text[Start:End]
}

// Positional reports whether the name is a number: {{1}}.
func (p Placeholder) Positional() bool {
	for i := range len(p.Name) {
		if p.Name[i] < '0' || p.Name[i] > '9' {
			return false
		}
	}
	return p.Name != ""
}

// Named reports whether the name is one that a named parameter may have:
// lower-case letters, digits and underscores, beginning with no digit.
func (p Placeholder) Named() bool {
	for i := range len(p.Name) {
		switch c := p.Name[i]; {
		case c >= 'a' && c <= 'z', c == '_', i > 0 && c >= '0' && c <= '9':
		default:
			return false
		}
	}
	return p.Name != ""
}

// Placeholders finds the placeholders of a template's text in order of
// appearance, repeated ones included. They are counted from the text itself
// because nothing else in a template says how many there are (whatsapp-facts
// §1.3). Braces that are never closed are plain text.
func Placeholders(text string) []Placeholder {
	var found []Placeholder
	for at := 0; ; {
		open := strings.Index(text[at:], "{{")
		if open < 0 {
			return found
		}
		open += at
		// Of "{{{1}}" the last two braces open.
		for open+2 < len(text) && text[open+2] == '{' {
			open++
		}
		length := strings.Index(text[open+2:], "}}")
		if length < 0 {
			return found
		}
		end := open + 2 + length
		// "{{ if x {{1}}": the inner pair is the placeholder.
		if inner := strings.LastIndex(text[open+2:end], "{{"); inner >= 0 {
			open += 2 + inner
		}
		found = append(found, Placeholder{
			Name:  strings.TrimSpace(text[open+2 : end]),
			Start: open,
			End:   end + 2,
		})
		at = end + 2
	}
}

// substitute writes text with every placeholder replaced by what value gives
// for its name; a name without a value stays as it is.
func substitute(text string, value func(name string) (string, bool)) string {
	places := Placeholders(text)
	if len(places) == 0 {
		return text
	}
	var b strings.Builder
	at := 0
	for _, p := range places {
		b.WriteString(text[at:p.Start])
		if v, ok := value(p.Name); ok {
			b.WriteString(v)
		} else {
			b.WriteString(text[p.Start:p.End])
		}
		at = p.End
	}
	b.WriteString(text[at:])
	return b.String()
}

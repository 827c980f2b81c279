package campaign

import (
	"fmt"
	"strings"
)

// Render gives the message as text: header, body, footer and buttons, with the
// values in place. A placeholder without a value stays as it is, so that a gap is
// seen. It is for people's eyes; the provider renders the message itself.
func (t *Template) Render(p Parameters) string {
	var sections, buttons []string
	for _, part := range t.Parts {
		switch part.Kind {
		case PartHeader:
			sections = append(sections, renderHeader(part, p))
		case PartBody:
			sections = append(sections, fill(part.Text, p, func(name string) string { return "body." + name }))
		case PartButton:
			buttons = append(buttons, renderButton(part, p))
		default: // footer, offer
			if part.Text != "" {
				sections = append(sections, part.Text)
			}
		}
	}
	if len(buttons) > 0 {
		sections = append(sections, strings.Join(buttons, "\n"))
	}
	return strings.Join(sections, "\n\n")
}

func fill(text string, p Parameters, key func(name string) string) string {
	return substitute(text, func(name string) (string, bool) {
		v := p[key(name)]
		return v.Text, v.Text != ""
	})
}

func renderHeader(part Part, p Parameters) string {
	v := p["header"]
	switch {
	case part.Text != "":
		return fill(part.Text, p, func(name string) string { return "header." + name })
	case v.Location != nil:
		place := strings.Trim(v.Location.Name+", "+v.Location.Address, ", ")
		if place != "" {
			place = " " + place
		}
		return fmt.Sprintf("[location %s, %s%s]", v.Location.Latitude, v.Location.Longitude, place)
	case v.Media != nil:
		return fmt.Sprintf("[%s %s]", v.Media.Kind, v.Media.source())
	}
	return "[" + strings.ToLower(part.Format) + "]"
}

// source names the medium for a person.
func (m *Media) source() string {
	switch {
	case m.Link != "":
		return m.Link
	case m.File != "":
		return m.File
	}
	return "id " + m.ID
}

func renderButton(part Part, p Parameters) string {
	label := "[ " + part.Text + " ]"
	key := ButtonKey(part.Index)
	if part.URL != "" {
		return label + " " + fill(part.URL, p, func(string) string { return key })
	}
	if part.Format == "COPY_CODE" && p[key].Text != "" {
		return label + " " + p[key].Text
	}
	return label
}

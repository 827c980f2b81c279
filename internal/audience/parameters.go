package audience

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/campaignd/campaignd/internal/campaign"
)

// mediaKinds are the keys of a slot that takes a medium.
var mediaKinds = []string{string(campaign.SlotImage), string(campaign.SlotVideo), string(campaign.SlotDocument), string(campaign.SlotGIF)}

// parameters reads slot → where its value comes from: a plain value, {column,
// default}, a medium or a location. Whether the template has the slots is known
// at the plan.
func (p *specParser) parameters(n node) map[string]campaign.ParameterSource {
	values := p.anyMapping(n)
	sources := make(map[string]campaign.ParameterSource, len(values))
	for _, slot := range slices.Sorted(maps.Keys(values)) {
		value := values[slot]
		if strings.TrimSpace(slot) == "" {
			p.fail(value, "a slot has no name", "slots are called header, body.1, body.first_name, button.0")
			continue
		}
		sources[slot] = p.source(value)
	}
	return sources
}

func (p *specParser) source(n node) campaign.ParameterSource {
	switch n.Kind {
	case yaml.ScalarNode:
		text := p.text(p.moment(n))
		return campaign.ParameterSource{Constant: &campaign.Value{Text: text}}
	case yaml.MappingNode:
	default:
		p.fail(n, "is a list", "a slot takes one value: a text, {column: …}, or a medium such as {image: {link: https://…}}")
		return campaign.ParameterSource{}
	}
	values := p.mapping(n, append([]string{"column", "default", string(campaign.SlotLocation)}, mediaKinds...)...)
	for _, kind := range append([]string{string(campaign.SlotLocation)}, mediaKinds...) {
		value, ok := values[kind]
		if !ok {
			continue
		}
		if len(values) > 1 {
			p.fail(n, "has more than one source", "give one of column, "+strings.Join(mediaKinds, ", ")+", location")
		}
		if kind == string(campaign.SlotLocation) {
			return p.location(value)
		}
		return p.medium(value, campaign.SlotKind(kind))
	}
	return p.column(n, values)
}

// column reads {column: first_name, default: there}.
func (p *specParser) column(n node, values map[string]node) campaign.ParameterSource {
	column, ok := values["column"]
	if !ok {
		p.fail(n, "column is missing", "{column: first_name, default: there}; a constant is a plain value")
		return campaign.ParameterSource{}
	}
	source := campaign.ParameterSource{Column: p.name(column)}
	if fallback, ok := values["default"]; ok {
		text := p.text(fallback)
		source.Default = &text
	}
	return source
}

// medium reads {link}, {id}, {file}, each with a filename where it is a
// document, or {column, default} whose cells hold links or ids.
func (p *specParser) medium(n node, kind campaign.SlotKind) campaign.ParameterSource {
	known := []string{"link", "id", "file", "column", "default"}
	if kind == campaign.SlotDocument {
		known = append(known, "filename")
	}
	values := p.mapping(n, known...)
	given := 0
	for _, key := range []string{"link", "id", "file", "column"} {
		if _, ok := values[key]; ok {
			given++
		}
	}
	if given != 1 {
		p.fail(n, "needs exactly one of link, id, file and column", "")
		return campaign.ParameterSource{}
	}
	_, isColumn := values["column"]
	filename, hasFilename := values["filename"]
	fallback, hasDefault := values["default"]
	if isColumn {
		if hasFilename {
			p.fail(filename, "goes with link, id and file only", "")
		}
		source := p.column(n, values)
		source.Media = kind
		return source
	}
	if hasDefault {
		p.fail(fallback, "goes with column only", "")
	}
	medium := &campaign.Media{Kind: kind}
	if v, ok := values["link"]; ok {
		medium.Link = p.line(v, campaign.MaxURL)
	}
	if v, ok := values["id"]; ok {
		medium.ID = p.name(v)
	}
	if v, ok := values["file"]; ok {
		medium.File = p.file(v)
	}
	if hasFilename {
		medium.Filename = p.name(filename)
	}
	return campaign.ParameterSource{Constant: &campaign.Value{Media: medium}}
}

func (p *specParser) location(n node) campaign.ParameterSource {
	values := p.mapping(n, "latitude", "longitude", "name", "address")
	location := &campaign.Location{}
	read := func(key string, field *string) {
		if v, ok := values[key]; ok {
			*field = p.name(v)
		}
	}
	read("latitude", &location.Latitude)
	read("longitude", &location.Longitude)
	read("name", &location.Name)
	read("address", &location.Address)
	if p.err == nil && (location.Latitude == "" || location.Longitude == "") {
		p.fail(n, "needs latitude and longitude", "")
	}
	return campaign.ParameterSource{Constant: &campaign.Value{Location: location}}
}

package audience

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/phone"
)

// maxSpec bounds a campaign file, in bytes: it holds a page of text.
const maxSpec = 1 << 20

// ParseSpec reads a campaign file (design §9), YAML or JSON, into its
// normalised form: defaults filled in, languages and times in one spelling,
// files relative to dir. Every key is known or refused, so that a misspelt one
// is never a rule that silently does not hold.
//
// Errors are campaign.ErrInvalid; they name the line, the key and the remedy.
//
// {date} and the like stand for this moment, on the clock of schedule.timezone
// where the file has it and otherwise on this machine's. See ParseSpecAt.
func ParseSpec(data []byte, dir string) (campaign.Spec, error) {
	return ParseSpecAt(data, dir, time.Now())
}

// ParseSpecAt reads a campaign file as of a moment: {date}, {week}, {month} and
// {year} in its name, key, constants, schedule.at and schedule.not_after stand for
// that moment. The zero time leaves such words as they are written.
func ParseSpecAt(data []byte, dir string, now time.Time) (campaign.Spec, error) {
	if len(data) > maxSpec {
		return campaign.Spec{}, campaign.ErrInvalid.With("the campaign file is larger than 1 MiB", "is it the contact file?")
	}
	parse := parseYAML
	if json.Valid(data) {
		parse = parseJSON
	}
	root, err := parse(data)
	if err != nil {
		return campaign.Spec{}, err
	}
	p := &specParser{dir: dir, now: now}
	spec := p.spec(node{Node: root})
	if p.err != nil {
		return campaign.Spec{}, p.err
	}
	return spec, nil
}

func parseYAML(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0 {
		return nil, campaign.ErrInvalid.With("the campaign file is empty", "it needs at least name, channel, template and audience")
	}
	if err != nil {
		return nil, campaign.ErrInvalid.With("the campaign file is not YAML: "+strings.TrimPrefix(err.Error(), "yaml: "),
			"values with a colon or a brace in them need quotes")
	}
	var more yaml.Node
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, campaign.ErrInvalid.With("the campaign file holds more than one document", "write each campaign into a file of its own")
	}
	return document.Content[0], nil
}

// parseJSON reads JSON by its own rules: YAML refuses surrogate pairs and tabs.
func parseJSON(data []byte) (*yaml.Node, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	root, err := jsonNode(decoder)
	if err != nil {
		return nil, campaign.ErrInvalid.With("the campaign is not JSON: "+err.Error(), "")
	}
	return root, nil
}

func jsonNode(decoder *json.Decoder) (*yaml.Node, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	scalar := func(tag, text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text} }
	switch value := token.(type) {
	case string:
		return scalar("!!str", value), nil
	case json.Number:
		return scalar("!!float", value.String()), nil
	case bool:
		return scalar("!!bool", strconv.FormatBool(value)), nil
	case json.Delim:
		n := &yaml.Node{Kind: yaml.MappingNode}
		if value == '[' {
			n.Kind = yaml.SequenceNode
		}
		for decoder.More() {
			element, err := jsonNode(decoder) // of an object: key, value, key, value, as YAML has them
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, element)
		}
		_, err := decoder.Token() // the closing one
		return n, err
	}
	return scalar("!!null", ""), nil
}

// node is a value of the file and the keys that lead to it.
type node struct {
	*yaml.Node
	path string
}

func (n node) child(key string, value *yaml.Node) node {
	if n.path != "" {
		key = n.path + "." + key
	}
	return node{value, key}
}

// resolved follows aliases (*anchor). A loop of them ends at a bound.
func (n node) resolved() node {
	for range 10 {
		if n.Kind != yaml.AliasNode {
			break
		}
		n.Node = n.Alias
	}
	return n
}

// specParser keeps the first error; after it, what it reads means nothing.
type specParser struct {
	dir  string
	now  time.Time      // what {date} stands for; zero: nothing
	zone *time.Location // of schedule.timezone, where it names one
	err  error
}

func (p *specParser) fail(n node, message, hint string) {
	if p.err != nil {
		return
	}
	if n.path != "" {
		message = n.path + ": " + message
	}
	if n.Node != nil && n.Line > 0 {
		message = fmt.Sprintf("line %d: %s", n.Line, message)
	}
	p.err = campaign.ErrInvalid.With(message, hint)
}

// mapping gives the values of a mapping by key. Keys outside known are refused.
func (p *specParser) mapping(n node, known ...string) map[string]node {
	values := p.anyMapping(n)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, key) {
			p.unknownKey(values[key], key, known)
		}
	}
	return values
}

func (p *specParser) unknownKey(value node, key string, known []string) {
	value.path = strings.TrimSuffix(strings.TrimSuffix(value.path, key), ".")
	hint := "known keys: " + strings.Join(known, ", ")
	if meant := campaign.Closest(key, known); meant != "" {
		hint = fmt.Sprintf("did you mean %q?", meant)
	}
	p.fail(value, fmt.Sprintf("unknown key %q", shorten(key, 60)), hint)
}

func (p *specParser) anyMapping(n node) map[string]node {
	n = n.resolved()
	if n.Kind != yaml.MappingNode {
		p.fail(n, "is not a mapping", "write keys and values below it")
		return nil
	}
	values := make(map[string]node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := node{n.Content[i], n.path}.resolved()
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			p.fail(key, "a key is not a plain word", "merge keys (<<) and nested keys are not supported")
			return nil
		}
		if _, twice := values[key.Value]; twice {
			p.fail(n.child(key.Value, n.Content[i]), "is given twice", "")
			return nil
		}
		values[key.Value] = n.child(key.Value, n.Content[i+1]).resolved()
	}
	return values
}

// text reads a plain value as it is written.
func (p *specParser) text(n node) string {
	switch {
	case n.Kind != yaml.ScalarNode:
		hint := ""
		if n.Kind == yaml.MappingNode {
			hint = `a text in braces needs quotes: "{date}"`
		}
		p.fail(n, "is not a plain value", hint)
	case n.Tag == "!!null":
		p.fail(n, "is empty", "give it a value, or leave the key out")
	case !utf8.ValidString(n.Value) || strings.IndexByte(n.Value, 0) >= 0:
		p.fail(n, "is not valid text", "the file must be UTF-8 without NUL characters")
	}
	return n.Value
}

// maxName bounds names, in characters.
const maxName = 200

func (p *specParser) name(n node) string { return p.line(n, maxName) }

// line reads a text of one line that is not blank.
func (p *specParser) line(n node, most int) string {
	text := strings.TrimSpace(p.text(n))
	switch {
	case text == "":
		p.fail(n, "is blank", "give it a value, or leave the key out")
	case utf8.RuneCountInString(text) > most:
		p.fail(n, fmt.Sprintf("is longer than %d characters", most), "")
	case strings.ContainsFunc(text, unicode.IsControl):
		p.fail(n, "contains a control character", "")
	}
	return text
}

// word reads one of a few words.
func (p *specParser) word(n node, words ...string) string {
	text := p.name(n)
	if slices.Contains(words, text) {
		return text
	}
	hint := "one of " + strings.Join(words, ", ")
	if meant := campaign.Closest(text, words); meant != "" {
		hint = fmt.Sprintf("did you mean %q?", meant)
	}
	p.fail(n, fmt.Sprintf("%q is none of %s", shorten(text, 60), strings.Join(words, ", ")), hint)
	return text
}

func (p *specParser) spec(root node) campaign.Spec {
	s := campaign.Spec{OnUnknown: "hold", USMarketing: "skip", USTerritories: "allow"}
	keys := p.mapping(root, "name", "key", "channel", "template", "audience", "parameters", "schedule", "rate",
		"on_unknown", "us_marketing", "us_territories", "opt_in", "frequency_cap", "retry")
	for _, key := range []string{"name", "channel", "template", "audience"} {
		if _, ok := keys[key]; !ok {
			p.fail(node{}, key+" is missing", map[string]string{
				"name":     "name: spring-sale-2026",
				"channel":  "channel: the name of a channel; campaignctl channel list shows them",
				"template": "template: {name: spring_sale, language: en_US}",
				"audience": "audience: {list: vips} or {file: vips.csv}",
			}[key])
			return s
		}
	}
	read := func(key string, read func(node)) {
		if n, ok := keys[key]; ok {
			read(n)
		}
	}
	read("schedule", p.readZone) // whose clock {date} and the times below mean
	read("name", func(n node) { s.Name = p.name(p.moment(n)) })
	read("key", func(n node) { s.Key = p.name(p.moment(n)) })
	read("channel", func(n node) { s.Channel = p.name(n) })
	read("template", func(n node) { s.Template = p.template(n) })
	read("audience", func(n node) { s.Audience = p.audience(n) })
	read("parameters", func(n node) { s.Parameters = p.parameters(n) })
	read("schedule", func(n node) { s.Schedule = p.schedule(n) })
	read("rate", func(n node) { s.Rate = p.rate(n) })
	read("on_unknown", func(n node) { s.OnUnknown = p.word(n, "hold", "resend", "fail") })
	read("us_marketing", func(n node) { s.USMarketing = p.word(n, "skip", "attempt") })
	read("us_territories", func(n node) { s.USTerritories = p.word(n, "allow", "skip") })
	read("opt_in", func(n node) {
		if s.OptIn = p.word(n, campaign.OptInRequired, campaign.OptInAssumed); s.OptIn == campaign.OptInRequired {
			s.OptIn = "" // the default, in one spelling
		}
	})
	read("frequency_cap", func(n node) { s.FrequencyCap = p.frequencyCap(n) })
	read("retry", func(n node) { s.Retry = p.retry(n) })
	return s
}

func (p *specParser) template(n node) campaign.TemplateRef {
	var t campaign.TemplateRef
	keys := p.mapping(n, "name", "language")
	name, ok := keys["name"]
	if !ok {
		p.fail(n, "name is missing", "template: {name: spring_sale, language: en_US}")
		return t
	}
	t.Name = p.name(name)
	language, ok := keys["language"]
	if !ok {
		p.fail(n, "language is missing", "language: en_US, or {from: language, default: en_US}")
		return t
	}
	if language.Kind != yaml.MappingNode {
		t.Language = p.language(language)
		return t
	}
	choice := p.mapping(language, "from", "default")
	from, hasFrom := choice["from"]
	fallback, hasDefault := choice["default"]
	if !hasFrom || !hasDefault {
		p.fail(language, "needs both from and default", "language: {from: language, default: en_US}")
		return t
	}
	t.LanguageFrom, t.Language = p.name(from), p.language(fallback)
	return t
}

func (p *specParser) language(n node) string {
	code, err := parseLanguage(p.name(n))
	if err != nil {
		p.fail(n, err.Error(), "")
	}
	return code
}

func (p *specParser) audience(n node) campaign.Audience {
	var a campaign.Audience
	keys := p.mapping(n, "list", "file", "country")
	list, hasList := keys["list"]
	file, hasFile := keys["file"]
	country, hasCountry := keys["country"]
	switch {
	case hasList && hasFile:
		p.fail(n, "list and file are both given", "give one of them")
	case hasList && hasCountry:
		p.fail(country, "goes with file only", "the numbers of a list were read when it was imported")
	case hasList:
		a.List = p.name(list)
	case hasFile:
		a.File = p.file(file)
		if hasCountry {
			a.Country = p.country(country)
		}
	default:
		p.fail(n, "list and file are both missing", "audience: {list: vips} or {file: vips.csv}")
	}
	return a
}

func (p *specParser) country(n node) string {
	code, err := phone.CheckCountry(p.name(n))
	if err != nil {
		p.fail(n, err.Error(), "")
	}
	return code
}

// file gives a path relative to the campaign file.
func (p *specParser) file(n node) string {
	path := p.line(n, 4096)
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(p.dir, path)
}

func (p *specParser) schedule(n node) campaign.Schedule {
	var s campaign.Schedule
	keys := p.mapping(n, "at", "not_after", "window", "days", "timezone", "cron", "end", "late")
	p.recurrence(&s, n, keys)
	p.window(&s, keys)
	if at, ok := keys["at"]; ok {
		s.At = p.time(at)
	}
	notAfter, ok := keys["not_after"]
	if !ok {
		return s
	}
	s.NotAfter = p.time(notAfter)
	if s.At != nil && s.NotAfter != nil && !s.NotAfter.After(*s.At) {
		p.fail(notAfter, "is not after schedule.at", "nothing could be sent")
	}
	return s
}

var (
	zonedLayouts    = []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04Z07:00", "2006-01-02 15:04:05 Z07:00", "2006-01-02 15:04 Z07:00"}
	zonelessLayouts = []string{"2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05"}
	zonelessPattern = regexp.MustCompile(`^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?$`)
)

// time reads a moment. One without a zone is refused: whose nine o'clock?
func (p *specParser) time(n node) *time.Time {
	n = p.moment(n)
	text := p.name(n)
	for _, layout := range zonedLayouts {
		at, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if at.Year() < 2000 || at.Year() > 9998 {
			break
		}
		at = at.UTC()
		return &at
	}
	if at, ok := p.zonelessTime(text); ok {
		return &at
	}
	switch part := missingPart(text); {
	case part != "":
		p.fail(n, "its "+part+" does not exist", "look at the calendar; a moment is written as 2026-04-01T09:00:00+02:00")
	case zonelessPattern.MatchString(text) && p.zone != nil && len(text) == len(time.DateOnly):
		p.fail(n, "has no time of day", "write it as 2026-04-01T09:00")
	case zonelessPattern.MatchString(text):
		p.fail(n, "has no time zone", "write it in full with Z or an offset: 2026-04-01T09:00:00+02:00; or say whose clock with schedule.timezone: Europe/Berlin")
	default:
		p.fail(n, "is not a time", "write it as 2026-04-01T09:00:00+02:00")
	}
	return nil
}

// missingPart gives the part of a well-formed time that no calendar or clock has:
// the day of 30 February, the hour of 25:00.
func missingPart(text string) string {
	for _, layout := range slices.Concat(zonedLayouts, zonelessLayouts, []string{time.DateOnly}) {
		_, err := time.Parse(layout, text)
		var wrong *time.ParseError
		if errors.As(err, &wrong) {
			if part, ok := strings.CutSuffix(wrong.Message, " out of range"); ok {
				return strings.TrimPrefix(part, ": ")
			}
		}
	}
	return ""
}

var ratePattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)(?:\s*/\s*([a-z]+))?$`)

// rate gives messages per second.
func (p *specParser) rate(n node) float64 {
	const remedy = "messages per time: 50/s, 3000/min, 10000/h, or a plain number for each second"
	parts := ratePattern.FindStringSubmatch(strings.ToLower(p.name(n)))
	if parts == nil {
		p.fail(n, "is not a rate", remedy)
		return 0
	}
	seconds := 1.0
	switch parts[2] {
	case "", "s", "sec", "second":
	case "min", "m", "minute":
		seconds = 60
	case "h", "hour":
		seconds = 3600
	default:
		p.fail(n, fmt.Sprintf("unknown unit %q", shorten(parts[2], 20)), remedy)
		return 0
	}
	number, err := strconv.ParseFloat(parts[1], 64)
	switch rate := number / seconds; {
	case err != nil || math.IsInf(rate, 0) || rate > 1e6:
		p.fail(n, "is too large", remedy)
	case rate <= 0:
		p.fail(n, "is zero", "leave rate out for the channel's; campaignctl campaign pause stops a campaign")
	default:
		return rate
	}
	return 0
}

var retryKey = regexp.MustCompile(`^code_([0-9]{1,9})$`)

// retry reads {code_131049: {first: 24h, factor: 2, attempts: 3}}. Whether a
// first gap may be shorter than the provider wants is decided with the channel.
func (p *specParser) retry(n node) map[string]campaign.Retry {
	rules := map[string]campaign.Retry{}
	values := p.anyMapping(n)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		parts := retryKey.FindStringSubmatch(key)
		if parts == nil {
			p.unknownKey(values[key], key, []string{"code_131049"})
			continue
		}
		keys := p.mapping(values[key], "first", "factor", "attempts")
		rule := campaign.Retry{Factor: 2, Attempts: 3, Jitter: 0.1}
		first, ok := keys["first"]
		if !ok {
			p.fail(values[key], "first is missing", "the gap after the first POST, such as 24h")
			continue
		}
		rule.First = p.duration(first)
		if factor, ok := keys["factor"]; ok {
			rule.Factor = p.number(factor, 1, 100)
		}
		if attempts, ok := keys["attempts"]; ok {
			count := p.number(attempts, 1, 20)
			if count != math.Trunc(count) {
				p.fail(attempts, "is not a whole number", "POSTs in all, the first one included")
			}
			rule.Attempts = int(count)
		}
		rules[parts[1]] = rule
	}
	return rules
}

// duration reads 90s, 15m, 24h, 1h30m and whole or broken days: 2d.
func (p *specParser) duration(n node) time.Duration {
	text := p.name(n)
	d, err := parseDuration(text)
	switch {
	case err != nil:
		p.fail(n, "is not a duration", "such as 90s, 15m, 24h or 2d")
	case d <= 0:
		p.fail(n, "is not longer than nothing", "such as 90s, 15m, 24h or 2d")
	case d > 365*24*time.Hour:
		p.fail(n, "is longer than a year", "")
	}
	return d
}

// parseDuration is time.ParseDuration that knows days.
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok && err != nil {
		var count float64
		if count, err = strconv.ParseFloat(days, 64); err == nil && count >= 0 && count <= 365 {
			d = time.Duration(count * 24 * float64(time.Hour))
		}
	}
	return d, err
}

func (p *specParser) number(n node, least, most float64) float64 {
	number, err := strconv.ParseFloat(p.name(n), 64)
	if err != nil || !(number >= least && number <= most) {
		p.fail(n, fmt.Sprintf("is not a number from %g to %g", least, most), "")
		return least
	}
	return number
}

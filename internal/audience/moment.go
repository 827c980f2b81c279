package audience

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// momentWord is {date}, {date+1d}, {week-1w} and what may have been meant as
// such; in two braces it is plain text.
var momentWord = regexp.MustCompile(`\{?\{[A-Za-z][^{}]*\}\}?`)

var momentParts = regexp.MustCompile(`^\{([a-z]+)(?:([+-])([0-9]{1,4})([dw]))?\}$`)

const momentHint = "known are {date}, {week}, {month} and {year}, each with days or weeks such as {date+1d} or {week-1w}; a text in braces is written {{like this}}"

// moment puts the moment that a file is read for in the place of {date} (as
// 2026-04-01), {week} (2026-W14, ISO 8601), {month} (2026-04) and {year}. Days and
// weeks may be added: {date+1d}, {month-2w}. Other words in braces are refused, so
// that a misspelt one is never sent to people; {{word}} is the text {word}.
func (p *specParser) moment(n node) node {
	if p.now.IsZero() || n.Node == nil || n.Kind != yaml.ScalarNode || !strings.Contains(n.Value, "{") {
		return n
	}
	text := momentWord.ReplaceAllStringFunc(n.Value, func(word string) string {
		if strings.HasPrefix(word, "{{") && strings.HasSuffix(word, "}}") {
			return word[1 : len(word)-1]
		}
		inner := word[strings.LastIndexByte(word, '{') : strings.IndexByte(word, '}')+1]
		value, ok := p.momentValue(inner)
		if !ok {
			p.fail(n, fmt.Sprintf("%s is not known", shorten(inner, 40)), momentHint)
		}
		return strings.Replace(word, inner, value, 1)
	})
	copied := *n.Node
	copied.Value = text
	n.Node = &copied
	return n
}

func (p *specParser) momentValue(word string) (string, bool) {
	parts := momentParts.FindStringSubmatch(word)
	if parts == nil {
		return "", false
	}
	at := p.now
	if parts[3] != "" {
		days, err := strconv.Atoi(parts[3])
		if err != nil {
			return "", false
		}
		if parts[4] == "w" {
			days *= 7
		}
		if parts[2] == "-" {
			days = -days
		}
		// At noon: the day after is the next one, whatever the clocks do at night.
		at = time.Date(at.Year(), at.Month(), at.Day()+days, 12, 0, 0, 0, time.UTC)
	}
	switch parts[1] {
	case "date":
		return at.Format(time.DateOnly), true
	case "week":
		year, week := at.ISOWeek()
		return fmt.Sprintf("%04d-W%02d", year, week), true
	case "month":
		return at.Format("2006-01"), true
	case "year":
		return at.Format("2006"), true
	}
	return "", false
}

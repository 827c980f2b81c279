package audience

import (
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/campaignd/campaignd/internal/campaign"
)

// window reads the hours and days of a schedule. They are on each recipient's own
// clock where schedule.timezone does not name another.
func (p *specParser) window(s *campaign.Schedule, keys map[string]node) {
	if n, ok := keys["window"]; ok {
		window, err := campaign.ParseWindow(p.name(n))
		if err != nil {
			p.fail(n, err.Error(), "")
		}
		s.Window = window
	}
	if n, ok := keys["days"]; ok {
		days, err := campaign.ParseDays(p.words(n))
		if err != nil {
			p.fail(n, err.Error(), "days: [mon, tue, wed, thu, fri], or mon-fri")
		}
		if len(days) < 7 {
			s.Days = days // all seven, in one spelling
		}
	}
	if s.HasWindow() && s.TimeZone == "" {
		s.TimeZone = campaign.ZoneRecipient
	}
}

// words reads a list of words, or a plain value with commas between them.
func (p *specParser) words(n node) []string {
	n = n.resolved()
	if n.Kind != yaml.SequenceNode {
		return strings.Split(p.name(n), ",")
	}
	var words []string
	for _, element := range n.Content {
		words = append(words, p.name(node{element, n.path}.resolved()))
	}
	return words
}

// longestCap bounds the period of a frequency cap.
const longestCap = 365 * 24 * time.Hour

// frequencyCap reads {messages: 2, per: 7d, then: skip}, or 2/7d for the same.
func (p *specParser) frequencyCap(n node) *campaign.FrequencyCap {
	const example = "frequency_cap: {messages: 2, per: 7d, then: skip}, or 2/7d"
	if n.Kind == yaml.ScalarNode {
		limit, err := ParseFrequencyCap(p.name(n))
		if err != nil {
			p.fail(n, err.Error(), example)
		}
		return &limit
	}
	keys := p.mapping(n, "messages", "per", "then")
	messages, hasMessages := keys["messages"]
	per, hasPer := keys["per"]
	if !hasMessages || !hasPer {
		p.fail(n, "needs both messages and per", example)
		return nil
	}
	limit := campaign.FrequencyCap{Then: campaign.CapSkip, Per: p.duration(per)}
	count := p.number(messages, 1, campaign.MaxCapMessages)
	limit.Messages = int(count)
	if float64(limit.Messages) != count {
		p.fail(messages, "is not a whole number", "")
	}
	if then, ok := keys["then"]; ok {
		limit.Then = p.word(then, campaign.CapSkip, campaign.CapDefer)
	}
	return &limit
}

// ParseFrequencyCap reads "2/7d": two messages in seven days. What is too many
// is skipped. The error is for a person.
func ParseFrequencyCap(text string) (campaign.FrequencyCap, error) {
	messages, per, ok := strings.Cut(strings.ReplaceAll(text, " ", ""), "/")
	var n int
	if _, err := fmt.Sscanf(messages+"\n", "%d\n", &n); !ok || err != nil {
		return campaign.FrequencyCap{}, fmt.Errorf("%q is no cap: write messages/time, such as 2/7d", shorten(text, 40))
	}
	if n < 1 || n > campaign.MaxCapMessages {
		return campaign.FrequencyCap{}, fmt.Errorf("%d messages are no cap: from 1 to %d", n, campaign.MaxCapMessages)
	}
	d, err := parseDuration(per)
	if err != nil || d <= 0 || d > longestCap {
		return campaign.FrequencyCap{}, fmt.Errorf("%q is no time for a cap: such as 24h or 7d, at most 365d", shorten(per, 40))
	}
	return campaign.FrequencyCap{Messages: n, Per: d, Then: campaign.CapSkip}, nil
}

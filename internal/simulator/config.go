package simulator

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Config says what to simulate. The zero value is a clean provider on a free
// loopback port that accepts any key.
type Config struct {
	// Listen is host:port; an empty host means loopback, port 0 a free one.
	Listen string

	// Key and Phone are the first number; Numbers adds more. With no key at
	// all any is taken, for one and the same number. The webhook of Config is
	// that of every number that has none of its own.
	Key           string
	Phone         string
	WebhookURL    string // used until one is registered through the API
	WebhookSecret string // sent as Authorization: Bearer with WebhookURL
	Numbers       []Number

	Seed    uint64
	Profile string // Clean, Realistic or Hostile; empty: Clean
	// Latency is the average time to answer a send; 0: the profile's own.
	Latency time.Duration
	// SlowAnswer is how long the fault "slow" takes; 0: 30 s.
	SlowAnswer time.Duration
	// Rate is the limit of each number in messages per second, beyond which
	// answers are 130429. 0: the profile's own (realistic and hostile 80,
	// clean none); below 0: none.
	Rate float64
	// Pace multiplies the delays of webhooks and of template reviews: 0.01
	// makes minutes of it seconds. 0: 1.
	Pace float64

	// TemplatesFile names a JSON file: a template list in either shape, an
	// array of create bodies, or one. Without it there is a small set of
	// built-in templates, and sends of others are checked by form alone.
	TemplatesFile string
	// AcceptUnknownTemplates does the latter with a file, too.
	AcceptUnknownTemplates bool
	// BehavioursFile names a CSV file phone,behaviour; see Behaviours.
	BehavioursFile string
	// LedgerFile is appended to; empty: the ledger is kept in memory.
	LedgerFile string

	// WebhookConcurrency is how many webhook requests of a number are under
	// way at a time; 0: 4.
	WebhookConcurrency int
	Logger             *slog.Logger // nil: none
}

// Number is a WhatsApp number at the provider.
type Number struct {
	Key           string
	Phone         string // E.164; decides the calling code put before recipients without a plus sign
	WebhookURL    string // empty: that of Config
	WebhookSecret string
	TemplatesFile string // templates of an account of its own; empty: those of Config
}

// WithDefaults fills in what is not set.
func (c Config) WithDefaults() Config {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	} else if strings.HasPrefix(c.Listen, ":") {
		c.Listen = "127.0.0.1" + c.Listen
	}
	if c.Profile == "" {
		c.Profile = Clean
	}
	if c.SlowAnswer == 0 {
		c.SlowAnswer = 30 * time.Second
	}
	if c.Pace == 0 {
		c.Pace = 1
	}
	if c.WebhookConcurrency == 0 {
		c.WebhookConcurrency = 4
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c *Config) validate() error {
	switch {
	case c.Latency < 0:
		return fmt.Errorf("latency %v: must not be negative", c.Latency)
	case c.SlowAnswer < 0:
		return fmt.Errorf("slow answer %v: must not be negative", c.SlowAnswer)
	case !(c.Pace > 0) || c.Pace > 1000:
		return fmt.Errorf("pace %v: must be above 0 and at most 1000", c.Pace)
	case c.WebhookConcurrency < 0 || c.WebhookConcurrency > 256:
		return fmt.Errorf("webhook concurrency %d: must be between 1 and 256", c.WebhookConcurrency)
	}
	return nil
}

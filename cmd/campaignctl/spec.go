package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
)

// specFlags are the flags that make a campaign, or change one that a file makes:
// a cron job gives the same file another key each time.
func specFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "f", Usage: "the campaign `FILE`, or - for standard input; the flags below change what it says"},
		&cli.StringFlag{Name: "name", Category: categorySimple, Usage: "the campaign's `NAME`"},
		&cli.StringFlag{Name: "key", Category: categorySimple, Usage: "`KEY`: the same name and key again is the same campaign"},
		&cli.StringFlag{Name: "channel", Category: categorySimple, Usage: "send on the channel `NAME`"},
		&cli.StringFlag{Name: "template", Category: categorySimple, Usage: "send the template `NAME`"},
		&cli.StringFlag{Name: "language", Category: categorySimple, Usage: "in this `LANGUAGE`, such as en_US; with --language-from only where that is empty"},
		&cli.StringFlag{Name: "language-from", Category: categorySimple, Usage: "in the language that the contact's `COLUMN` names"},
		&cli.StringFlag{Name: "list", Category: categorySimple, Usage: "to everybody on the list `NAME`"},
		&cli.StringFlag{Name: "file", Category: categorySimple, Usage: "to everybody in the contact `FILE`, which is imported first"},
		&cli.StringFlag{Name: "country", Category: categorySimple, EnvVars: []string{"CAMPAIGN_COUNTRY"}, Usage: "read national numbers of --file as numbers of this `COUNTRY`"},
		parameterFlag("`SLOT=VALUE` or SLOT=column:NAME; may be repeated"),
		&cli.StringFlag{Name: "rate", Category: categorySimple, Usage: "at most `RATE`, such as 50/s or 3000/h (default: the channel's)"},
		&cli.StringFlag{Name: "at", Category: categorySimple, Usage: "not before `TIME`, such as 2026-04-01T09:00:00+02:00"},
		&cli.StringFlag{Name: "not-after", Category: categorySimple, Usage: "nothing is sent after `TIME`"},
		&cli.StringFlag{Name: "window", Category: categorySimple, Usage: "only at these `HOURS` of each recipient's clock: 09:00-20:00, or preset for their country's"},
		&cli.StringFlag{Name: "days", Category: categorySimple, Usage: "only on these `DAYS`, such as mon-fri or mon,wed"},
		&cli.StringFlag{Name: "timezone", Category: categorySimple, Usage: "whose clock counts: `ZONE` is recipient or a name such as Europe/Berlin"},
		&cli.StringFlag{Name: "opt-in", Category: categorySimple, Usage: "marketing to people whose opt-in is not known here: `required|assumed` (default: required)"},
		&cli.StringFlag{Name: "frequency-cap", Category: categorySimple, Usage: "skip who got so much marketing: `MESSAGES/TIME`, such as 2/7d"},
		&cli.StringFlag{Name: "cron", Category: categorySimple, Usage: "again and again, when `CRON` says: \"0 9 * * 1\" is Mondays at nine"},
		&cli.StringFlag{Name: "end", Category: categorySimple, Usage: "with --cron: not after `TIME`"},
		&cli.StringFlag{Name: "late", Category: categorySimple, Usage: "start at most `DURATION` late (default: 1h)"},
		&cli.StringFlag{Name: "on-unknown", Category: categorySimple, Usage: "when an answer is lost: `hold|resend|fail` (default: hold)"},
		&cli.StringFlag{Name: "us-marketing", Category: categorySimple, Usage: "marketing to US numbers: `skip|attempt` (default: skip)"},
		&cli.StringFlag{Name: "us-territories", Category: categorySimple, Usage: "marketing to US territories: `allow|skip` (default: allow)"},
	}
}

func parameterFlag(usage string) cli.Flag {
	return &cli.StringSliceFlag{Name: "parameter", Aliases: []string{"p"}, Category: categorySimple, Usage: usage}
}

// specKeys are the keys of a campaign file that a flag gives as it stands.
var specKeys = []struct{ flag, key string }{
	{"name", "name"}, {"key", "key"}, {"channel", "channel"}, {"rate", "rate"},
	{"template", "template.name"}, {"at", "schedule.at"}, {"not-after", "schedule.not_after"},
	{"window", "schedule.window"}, {"days", "schedule.days"}, {"timezone", "schedule.timezone"}, {"frequency-cap", "frequency_cap"}, {"opt-in", "opt_in"},
	{"cron", "schedule.cron"}, {"end", "schedule.end"}, {"late", "schedule.late"},
	{"on-unknown", "on_unknown"}, {"us-marketing", "us_marketing"}, {"us-territories", "us_territories"},
}

// spec reads the campaign that -f and the flags describe.
func (p *program) spec(c *cli.Context) (campaign.Spec, error) {
	spec, _, err := p.document(c)
	return spec, err
}

// document is a campaign file with what the flags change of it, and the folder
// that its paths are relative to.
type document struct {
	data []byte
	dir  string
}

func (p *program) document(c *cli.Context) (campaign.Spec, document, error) {
	none := document{}
	if !hasSpec(c) {
		return campaign.Spec{}, none, usage("give -f FILE, or --name, --channel, --template, --language and --list", "there is no campaign")
	}
	data, dir := []byte(nil), "."
	if name := c.String("f"); name != "" {
		var err error
		if data, err = p.read(name); err != nil {
			return campaign.Spec{}, none, err
		}
		if name != "-" {
			dir = filepath.Dir(name)
		}
	}
	if !hasSpecFlags(c) {
		spec, err := audience.ParseSpec(data, dir)
		if err != nil {
			return campaign.Spec{}, none, fmt.Errorf("%s: %w", label(c.String("f")), err)
		}
		return spec, document{data, dir}, nil
	}
	changed := map[string]any{}
	if data != nil {
		// What the file itself gets wrong is told with its line.
		if _, err := audience.ParseSpec(data, dir); err != nil && !strings.HasSuffix(err.Error(), " is missing") {
			return campaign.Spec{}, none, fmt.Errorf("%s: %w", label(c.String("f")), err)
		}
		if err := yaml.Unmarshal(data, &changed); err != nil || changed == nil {
			return campaign.Spec{}, none, usage("", "%s is not a campaign file", label(c.String("f")))
		}
	}
	if err := applySpecFlags(c, changed); err != nil {
		return campaign.Spec{}, none, err
	}
	merged, err := yaml.Marshal(changed)
	if err != nil {
		return campaign.Spec{}, none, fmt.Errorf("put the flags into the campaign: %w", err)
	}
	spec, err := audience.ParseSpec(merged, dir)
	return spec, document{merged, dir}, withoutLine(err)
}

// hasSpec reports whether the command line describes a campaign at all.
func hasSpec(c *cli.Context) bool { return c.String("f") != "" || hasSpecFlags(c) }

func hasSpecFlags(c *cli.Context) bool {
	for _, f := range specFlags() {
		// The environment's country alone describes no campaign.
		if name := f.Names()[0]; name != "f" && name != "country" && c.IsSet(name) {
			return true
		}
	}
	return false
}

// specLine is what ParseSpec says of a line in a document of our own making.
var specLine = regexp.MustCompile(`^line \d+: `)

func withoutLine(err error) error {
	var known *campaign.Error
	if errors.As(err, &known) {
		return known.With(specLine.ReplaceAllString(known.Message, ""), known.Hint)
	}
	return err
}

// applySpecFlags writes the flags into a campaign file as it was read.
func applySpecFlags(c *cli.Context, document map[string]any) error {
	for _, k := range specKeys {
		if c.IsSet(k.flag) {
			set(document, strings.Split(k.key, "."), c.String(k.flag))
		}
	}
	if c.IsSet("language-from") {
		choice := map[string]any{"from": c.String("language-from")}
		if c.IsSet("language") {
			choice["default"] = c.String("language")
		}
		set(document, []string{"template", "language"}, choice)
	} else if c.IsSet("language") {
		set(document, []string{"template", "language"}, c.String("language"))
	}
	switch {
	case c.IsSet("list") && c.IsSet("file"):
		return usage("give one of them", "--list and --file are both given")
	case c.IsSet("list"):
		document["audience"] = map[string]any{"list": c.String("list")}
	case c.IsSet("file"):
		if ext := filepath.Ext(c.String("file")); c.String("f") == "" && (ext == ".yaml" || ext == ".yml") {
			return usage("is it -f "+c.String("file")+"?", "--file is the contact file")
		}
		// Flags are relative to where we are, a campaign file to where it is.
		path, err := filepath.Abs(c.String("file"))
		if err != nil {
			return fileError(c.String("file"), err)
		}
		who := map[string]any{"file": path}
		if c.IsSet("country") {
			who["country"] = c.String("country")
		}
		document["audience"] = who
	}
	for _, pair := range c.StringSlice("parameter") {
		slot, source, err := parseParameter(pair)
		if err != nil {
			return err
		}
		set(document, []string{"parameters", slot}, source)
	}
	return nil
}

// set puts a value below nested keys. What stands in the way is replaced.
func set(document map[string]any, keys []string, value any) {
	for _, key := range keys[:len(keys)-1] {
		next, ok := document[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			document[key] = next
		}
		document = next
	}
	document[keys[len(keys)-1]] = value
}

// parseParameter reads what -p gives, into the form of a campaign file:
// body.1=Ann, body.1=column:first_name, header=image:https://…, header=image:id:123,
// header=image:file:banner.jpg, header=image:column:picture,
// header=location:52.5,13.4,Name,Address. A text that begins with such a word is
// written text:…
func parseParameter(pair string) (slot string, source any, err error) {
	slot, value, found := strings.Cut(pair, "=")
	if slot = strings.TrimSpace(slot); !found || slot == "" {
		return "", nil, usage("as in -p body.1=Ann or -p body.1=column:first_name", "-p %q is not SLOT=VALUE", pair)
	}
	word, rest, _ := strings.Cut(value, ":")
	switch word {
	case "text":
		if strings.HasPrefix(value, "text:") {
			return slot, rest, nil
		}
	case "column":
		if strings.HasPrefix(value, "column:") {
			return slot, map[string]any{"column": rest}, nil
		}
	case "image", "video", "document", "gif":
		if medium, ok := parseMedium(rest); ok {
			return slot, map[string]any{word: medium}, nil
		}
	case "location":
		if parts := strings.SplitN(rest, ",", 4); len(parts) >= 2 && slot == "header" {
			place := map[string]any{}
			for i, key := range []string{"latitude", "longitude", "name", "address"}[:len(parts)] {
				place[key] = strings.TrimSpace(parts[i])
			}
			return slot, map[string]any{"location": place}, nil
		}
	}
	return slot, value, nil
}

func parseMedium(s string) (map[string]any, bool) {
	kind, rest, found := strings.Cut(s, ":")
	switch {
	case found && (kind == "https" || kind == "http"):
		return map[string]any{"link": s}, true
	case found && (kind == "id" || kind == "column"):
		return map[string]any{kind: rest}, true
	case found && kind == "file":
		if path, err := filepath.Abs(rest); err == nil {
			rest = path
		}
		return map[string]any{"file": rest}, true
	}
	return nil, false
}

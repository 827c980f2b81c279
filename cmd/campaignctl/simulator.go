package main

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/phone"
	"github.com/campaignd/campaignd/internal/simulator"
)

func simulatorCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "simulator",
		Usage: "run a 360dialog that fails on request, to rehearse a campaign",
		Description: text(
			`Answers as the provider does and reports by webhook what became of each message,
without writing to anybody. Add a channel whose --base-url is the simulator's and
launch the real campaign on the real list. The address is printed on standard
output; Ctrl-C ends it. Needs no database.`,
			`Everything is decided by --seed: the same seed, list and order give the same
fates. Profiles: "clean" delivers everything at once, "realistic" adds people who
cannot be reached, limits, and late, repeated and unordered webhooks, "hostile"
adds lost answers, cut connections and server errors.`,
			`--behaviours is a CSV file with lines PHONE,BEHAVIOUR for people whose fate is to
be exact. BEHAVIOUR is one of:`,
			behaviourTable(),
			examples(
				`simulator --listen 127.0.0.1:8181 --webhook http://127.0.0.1:8080/webhooks/sales-eu \
              --key-ref env:D360_KEY --webhook-secret-ref env:WEBHOOK_SECRET --profile realistic`,
				`simulator --listen 127.0.0.1:0 --seed 7 --behaviours fates.csv --ledger posts.jsonl`)),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:8181", EnvVars: []string{"CAMPAIGN_SIMULATOR_LISTEN"}, Usage: "answer on `ADDR`; port 0 takes a free one"},
			&cli.StringFlag{Name: "webhook", EnvVars: []string{"CAMPAIGN_SIMULATOR_WEBHOOK"}, Usage: "report to `URL` until another is registered through the API"},
			&cli.StringFlag{Name: "key-ref", EnvVars: []string{"CAMPAIGN_SIMULATOR_KEY_REF"}, Usage: "accept only the API key in `REF`, env:NAME or file:PATH; without it any"},
			&cli.StringFlag{Name: "webhook-secret-ref", EnvVars: []string{"CAMPAIGN_SIMULATOR_WEBHOOK_SECRET_REF"}, Usage: "send the secret in `REF` with reports to --webhook"},
			&cli.StringFlag{Name: "phone", EnvVars: []string{"CAMPAIGN_SIMULATOR_PHONE"}, Usage: "the sending `NUMBER`, in E.164"},
			&cli.Uint64Flag{Name: "seed", Value: 1, EnvVars: []string{"CAMPAIGN_SIMULATOR_SEED"}, Usage: "decide everything by this `NUMBER`"},
			&cli.StringFlag{Name: "profile", Value: simulator.Clean, EnvVars: []string{"CAMPAIGN_SIMULATOR_PROFILE"}, Usage: "one of `" + strings.Join(simulator.Profiles(), "|") + "`"},
			&cli.DurationFlag{Name: "latency", EnvVars: []string{"CAMPAIGN_SIMULATOR_LATENCY"}, Usage: "answer a send after `DURATION` on average (default: the profile's)"},
			&cli.Float64Flag{Name: "rate", EnvVars: []string{"CAMPAIGN_SIMULATOR_RATE"}, Usage: "refuse with 130429 above `N` messages a second (default: the profile's; -1 never)"},
			&cli.Float64Flag{Name: "pace", EnvVars: []string{"CAMPAIGN_SIMULATOR_PACE"}, Usage: "multiply the delays of webhooks by `N`; 0.01 makes seconds of minutes"},
			&cli.StringFlag{Name: "templates", EnvVars: []string{"CAMPAIGN_SIMULATOR_TEMPLATES"}, Usage: "offer the templates in `FILE`, JSON in any shape that template check reads"},
			&cli.StringFlag{Name: "behaviours", EnvVars: []string{"CAMPAIGN_SIMULATOR_BEHAVIOURS"}, Usage: "read fates of single people from `FILE`"},
			&cli.StringFlag{Name: "ledger", EnvVars: []string{"CAMPAIGN_SIMULATOR_LEDGER"}, Usage: "append a JSON line for every POST seen to `FILE`"},
		},
		Action: p.simulate,
	}
}

func behaviourTable() string {
	var b strings.Builder
	t := newTable(&b)
	for _, behaviour := range simulator.Behaviours() {
		fmt.Fprintf(t, "  %s\t%s\n", behaviour.Name, behaviour.Description)
	}
	t.Flush()
	return strings.TrimRight(b.String(), "\n")
}

func (p *program) simulate(c *cli.Context) error {
	config, err := p.simulatorConfig(c)
	if err != nil {
		return err
	}
	sim, err := simulator.New(config)
	if err != nil {
		return usage("", "simulator: %s", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- sim.Run(c.Context) }()
	select {
	case err := <-ended:
		return err
	case <-sim.Ready():
	}
	fmt.Fprintln(p.stdout, sim.URL())
	if host, _, err := net.SplitHostPort(sim.Addr().String()); err == nil && !net.ParseIP(host).IsLoopback() {
		p.warn("the simulator can be reached from other machines")
	}
	p.note("simulating 360dialog, profile %s, seed %d; Ctrl-C ends it", config.Profile, config.Seed)
	err = <-ended
	s := sim.Stats()
	p.note("%s seen: %d accepted, %d refused, %d faults; %d events reported, %d still waiting",
		plural(s.Posts, "POST"), s.Accepted, s.Refused, s.Faults, s.WebhooksDelivered, s.WebhooksWaiting)
	return err
}

func (p *program) simulatorConfig(c *cli.Context) (simulator.Config, error) {
	config := simulator.Config{
		Listen: c.String("listen"), WebhookURL: c.String("webhook"), Phone: c.String("phone"),
		Seed: c.Uint64("seed"), Profile: c.String("profile"), Latency: c.Duration("latency"),
		Rate: c.Float64("rate"), Pace: c.Float64("pace"),
		TemplatesFile: c.String("templates"), BehavioursFile: c.String("behaviours"), LedgerFile: c.String("ledger"),
		Logger: slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if !slices.Contains(simulator.Profiles(), config.Profile) {
		return config, usage("one of "+strings.Join(simulator.Profiles(), ", "), "--profile %q is not known", config.Profile)
	}
	if _, _, err := net.SplitHostPort(config.Listen); err != nil {
		return config, usage("as in 127.0.0.1:8181", "--listen %q is no address", config.Listen)
	}
	if config.Phone != "" {
		n, err := phone.Parse(config.Phone, "")
		if err != nil {
			return config, campaign.ErrInvalid.With("--phone: "+err.Error(), "")
		}
		config.Phone = n.E164
	}
	var err error
	if ref := c.String("key-ref"); ref != "" {
		if config.Key, err = p.secret("--key-ref", ref); err != nil {
			return config, err
		}
	}
	if ref := c.String("webhook-secret-ref"); ref != "" {
		if config.WebhookSecret, err = p.secret("--webhook-secret-ref", ref); err != nil {
			return config, err
		}
	}
	return config, nil
}

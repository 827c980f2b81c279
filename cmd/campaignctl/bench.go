package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/bench"
	"github.com/campaignd/campaignd/internal/campaign"
)

// benchChildWord makes this program a part of a benchmark: the sink, a node, a
// ceiling. The benchmark itself calls it so; it is no command for people.
const benchChildWord = "__bench"

func benchCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "bench",
		Usage:     "measure campaignd on this machine, beside its ceilings",
		ArgsUsage: "[NAME…]",
		Description: text(
			`Runs benchmarks with everything they need: daemons and a sink that takes the place
of the provider are processes of their own, and a database named campaign_bench_… is
made on the server of --database-url and dropped afterwards. Without that URL a
PostgreSQL server is started in a temporary folder (TMPDIR), which should lie on a
real disk. A server that may lose what it committed is refused. Nobody is messaged.`,
			`With a name the bench runs once, as the flags say; without any, all of them run as
in the table of goals, which takes a while. Figures stand beside a ceiling that was
measured in the same run. A goal that was not met is no error: the table says so, and
"ok" in each result of the array that --json prints.`,
			benchTable(),
			examples(
				"bench send",
				"bench send --null --messages 50000 --profile /tmp/profiles",
				"bench send --rate 1000 --latency 20ms --nodes 4",
				"bench --quick --json")),
		Flags: []cli.Flag{
			&cli.Int64Flag{Name: "messages", DefaultText: "the bench's", Usage: "send `N` messages"},
			&cli.IntFlag{Name: "workers", DefaultText: "1000", Usage: "have at most `N` messages on the wire at a time, on each node"},
			&cli.BoolFlag{Name: "null", Usage: "a provider that answers in the daemon's process, instead of HTTP"},
			&cli.DurationFlag{Name: "latency", Usage: "let the provider answer after `D`"},
			&cli.Float64Flag{Name: "rate", Usage: "limit the channel to `N` messages a second (default: no limit)"},
			&cli.IntFlag{Name: "nodes", DefaultText: "1", Usage: "send from `N` processes"},
			&cli.StringSliceFlag{Name: "sizes", Usage: "plans of `N` messages, as in 10k,1M", DefaultText: "the bench's"},
			&cli.IntFlag{Name: "batch", DefaultText: "50", Usage: "let the provider report `N` statuses a request"},
			&cli.StringFlag{Name: "profile", Usage: "write CPU profiles of the daemons into `FOLDER`"},
			&cli.StringSliceFlag{Name: "setting", Usage: "start the temporary PostgreSQL server with `NAME=VALUE`; may be repeated"},
			&cli.BoolFlag{Name: "quick", Usage: "a form of a few seconds that shows that everything works; its figures mean nothing"},
			jsonFlag(),
		},
		Action: p.bench,
	}
}

func benchTable() string {
	var b strings.Builder
	t := newTable(&b)
	for _, one := range bench.Benches() {
		fmt.Fprintf(t, "  %s\t%s\n", one.Name, one.Summary)
	}
	t.Flush()
	return "Benches:\n\n" + strings.TrimRight(b.String(), "\n")
}

func (p *program) bench(c *cli.Context) (err error) {
	benches, err := bench.Find(c.Args().Slice())
	if err != nil {
		return err
	}
	options, err := benchOptions(c, benches)
	if err != nil {
		return err
	}
	config, err := p.benchConfig(c)
	if err != nil {
		return err
	}
	session, err := bench.NewSession(c.Context, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()

	results := []*bench.Result{}
	for _, b := range benches {
		runs := []bench.Options{options}
		switch {
		case c.Bool("quick"):
			runs = b.Quick
		case !c.Args().Present():
			runs = b.Suite
		}
		for _, o := range runs {
			r, err := session.Run(c.Context, b, o)
			if err != nil {
				return err
			}
			results = append(results, r)
			if c.Bool("json") {
				continue
			}
			if err := r.Print(p.out()); err != nil {
				return err
			}
		}
	}
	if c.Bool("json") {
		return printJSON(p.stdout, results)
	}
	last := results[len(results)-1]
	_, err = fmt.Fprintf(p.out(), "%s\ncommit %s\n", last.Machine, last.Commit)
	return err
}

func (p *program) benchConfig(c *cli.Context) (bench.Config, error) {
	self, err := os.Executable()
	if err != nil {
		return bench.Config{}, fmt.Errorf("find this program: %w", err)
	}
	config := bench.Config{DatabaseURL: p.databaseURL, Settings: map[string]string{}, Command: []string{self, benchChildWord},
		Stderr: p.stderr, Progress: p.note, Commit: version()}
	for _, s := range c.StringSlice("setting") {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return config, usage("as in shared_buffers=1GB", "--setting: %q is no NAME=VALUE", s)
		}
		if p.databaseURL != "" {
			return config, usage("set it on that server", "--setting is for the temporary server, and --database-url names another")
		}
		config.Settings[name] = value
	}
	return config, nil
}

// benchOptions reads the flags. One that none of the benches looks at is a
// mistake.
func benchOptions(c *cli.Context, benches []bench.Bench) (bench.Options, error) {
	o := bench.Options{Messages: c.Int64("messages"), Workers: c.Int("workers"), Null: c.Bool("null"), Latency: c.Duration("latency"),
		Rate: c.Float64("rate"), Nodes: c.Int("nodes"), Batch: c.Int("batch"), Profile: c.String("profile")}
	for _, name := range []string{"messages", "workers", "null", "latency", "rate", "nodes", "sizes", "batch", "profile"} {
		if !c.IsSet(name) {
			continue
		}
		if c.Bool("quick") || !c.Args().Present() {
			return o, usage("name a bench, and leave out --quick", "--%s is for one bench: the whole table and --quick have sizes of their own", name)
		}
		if !slices.ContainsFunc(benches, func(b bench.Bench) bool { return slices.Contains(b.Takes, name) }) {
			return o, usage("", "--%s means nothing to the bench %s", name, strings.Join(c.Args().Slice(), ", "))
		}
	}
	if o.Messages < 0 || o.Workers < 0 || o.Nodes < 0 || o.Rate < 0 || o.Latency < 0 {
		return o, usage("", "a number of the bench is below 0")
	}
	for _, list := range c.StringSlice("sizes") {
		for _, size := range strings.Split(list, ",") {
			n, err := parseSize(size)
			if err != nil {
				return o, err
			}
			o.Sizes = append(o.Sizes, n)
		}
	}
	return o, nil
}

// parseSize reads 10000, 10k or 10M.
func parseSize(text string) (int64, error) {
	digits, factor := text, int64(1)
	switch {
	case strings.HasSuffix(text, "k"):
		digits, factor = strings.TrimSuffix(text, "k"), 1000
	case strings.HasSuffix(text, "M"):
		digits, factor = strings.TrimSuffix(text, "M"), 1_000_000
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > 1000*1_000_000/factor {
		return 0, usage("as in 10k or 1M", "--sizes: %q is no number of messages", text)
	}
	return n * factor, nil
}

// benchChild is this program as a part of a benchmark.
func (p *program) benchChild(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return campaign.ErrInvalid.With(benchChildWord+" is for the bench itself", "campaignctl bench --help")
	}
	return bench.Child(ctx, args[0], p.stdin, p.stdout, p.stderr)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/daemon"
	"github.com/campaignd/campaignd/internal/localpg"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/simulator"
)

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "run a whole campaign on this machine, against a simulated provider",
		Description: "Starts PostgreSQL, a simulated 360dialog and the daemon, and then types the commands of a\n" +
			"campaign for you: a contact list is imported, the campaign planned, launched, watched and reported.\n" +
			"Nobody is messaged: everything stays on this machine, in a folder that is removed at the end.",
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return usageError{err} },
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "contacts", Usage: "use the people of `FILE` (CSV or XLSX) instead of invented ones"},
			&cli.StringFlag{Name: "country", Usage: "read national numbers in that file as those of `CODE`, such as DE"},
			&cli.IntFlag{Name: "recipients", Value: 500, Usage: "invent `N` people (at most 5000)"},
			&cli.BoolFlag{Name: "stay", Usage: "keep everything running at the end, for campaignctl in another terminal"},
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usageError{fmt.Errorf("demo takes no argument: %q", c.Args().First())}
			}
			if n := c.Int("recipients"); n < 1 || n > len(demoAreas)*100 {
				return usageError{fmt.Errorf("--recipients: %d is not between 1 and %d", n, len(demoAreas)*100)}
			}
			d := &demo{out: os.Stdout, contacts: c.String("contacts"), country: c.String("country"), recipients: c.Int("recipients"), stay: c.Bool("stay")}
			return d.run(c.Context)
		},
	}
}

// demo tells the story of a campaign: the daemon and the provider run in this
// process, and every command is campaignctl, as a person would type it.
type demo struct {
	out        io.Writer
	contacts   string
	country    string
	recipients int
	stay       bool

	folder string
	ctl    string
	env    []string
	store  *postgres.Store
}

const (
	demoChannel = "demo"
	demoName    = "spring-sale"
	demoKey     = "CAMPAIGN_DEMO_KEY"
	demoSecret  = "CAMPAIGN_DEMO_SECRET"
	// demoPace makes the simulated provider's minutes seconds.
	demoPace = 0.01
	demoRate = 80
)

func (d *demo) run(ctx context.Context) (err error) {
	if d.ctl, err = campaignctl(); err != nil {
		return err
	}
	if d.folder, err = os.MkdirTemp("", "campaignd-demo-"); err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer os.RemoveAll(d.folder)
	// PostgreSQL may run as another user than we, and needs to reach its data.
	if err := os.Chmod(d.folder, 0o755); err != nil { //nolint:gosec // the files in it have modes of their own
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	for name, value := range map[string]string{demoKey: "demo-key", demoSecret: "demo-secret"} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}

	d.say("Starting PostgreSQL, a simulated 360dialog and campaignd.")
	server, err := localpg.Start(ctx, localpg.Config{Home: filepath.Join(d.folder, "postgres")})
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		_ = server.Stop(stop)
	}()
	d.env = append(os.Environ(), "CAMPAIGN_DATABASE_URL="+server.URL(), "NO_COLOR=1")
	if err := d.enter(ctx, "migrate", "--quiet"); err != nil {
		return err
	}

	log, closeLog, err := d.log()
	if err != nil {
		return err
	}
	defer closeLog()
	pool, err := postgres.Connect(ctx, server.URL(), postgres.Options{MaxConns: 20, Name: "campaignd"})
	if err != nil {
		return err
	}
	defer pool.Close()
	if d.store, err = postgres.Open(ctx, pool); err != nil {
		return err
	}
	engine, err := daemon.New(ctx, daemon.Config{
		Store: d.store, Guard: postgres.NewGuard("", func(string) {}), Roles: daemon.AllRoles(), Listen: "127.0.0.1:0", MaxWorkers: 100,
		Logger: log, Version: versionText(),
	})
	if err != nil {
		return err
	}
	provider, err := simulator.New(simulator.Config{
		Listen: "127.0.0.1:0", Key: "demo-key", WebhookSecret: "demo-secret", Seed: 7, Profile: simulator.Realistic, Pace: demoPace,
		WebhookURL: fmt.Sprintf("http://%s/webhooks/%s", engine.Addr(), demoChannel),
		LedgerFile: filepath.Join(d.folder, "ledger.jsonl"), Logger: log,
	})
	if err != nil {
		return err
	}
	// The provider goes last, so that what is on the wire at the stop is answered.
	providing, stopProvider := context.WithCancel(context.WithoutCancel(ctx))
	provided := background(func() error { return provider.Run(providing) })
	defer func() { stopProvider(); err = errors.Join(err, <-provided) }()
	select {
	case <-provider.Ready():
	case err := <-provided:
		provided <- nil
		return fmt.Errorf("start the simulated provider: %w", err)
	}
	running, stopDaemon := context.WithCancel(ctx)
	ran := background(func() error { return engine.Run(running) })
	defer func() { stopDaemon(); err = errors.Join(err, <-ran) }()

	return d.tell(ctx, provider.URL())
}

func background(run func() error) chan error {
	done := make(chan error, 1)
	go func() { done <- run() }()
	return done
}

// tell types the commands of a campaign.
func (d *demo) tell(ctx context.Context, providerURL string) error {
	file, parameters, err := d.audience()
	if err != nil {
		return err
	}
	spec := filepath.Join(d.folder, "spring.yaml")
	if err := os.WriteFile(spec, []byte(demoSpec(parameters)), 0o600); err != nil {
		return fmt.Errorf("write the campaign file: %w", err)
	}

	d.say("A channel is one WhatsApp number. Its key is read from the environment, never stored.")
	if err := d.enter(ctx, "channel", "add", demoChannel, "--phone", "+12045550100", "--base-url", providerURL,
		"--key-ref", "env:"+demoKey, "--webhook-secret-ref", "env:"+demoSecret, "--rate", fmt.Sprint(demoRate)); err != nil {
		return err
	}
	if err := d.enter(ctx, "template", "sync", demoChannel); err != nil {
		return err
	}
	d.say("The people come from a file. Rows that cannot be used are refused, with the reason.")
	args := []string{"contact", "import", file, "--list", "customers"}
	if d.country != "" {
		args = append(args, "--country", d.country)
	}
	if d.contacts != "" {
		args = append(args, "--opted-in", "demo") // nobody is messaged here
	}
	if err := d.enter(ctx, args...); err != nil {
		return err
	}
	d.say("A plan freezes who gets what, and shows it before anything is sent.")
	d.show(spec)
	if err := d.enter(ctx, "campaign", "plan", "-f", spec); err != nil {
		return err
	}
	d.say("Launch, and wait until nothing is left to send. The people whom WhatsApp refuses for now (131049) are tried again.")
	if err := d.enter(ctx, "campaign", "launch", "-f", spec, "--yes", "--wait", "--timeout", "5m"); err != nil {
		return err
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	d.say("What became of everybody, and the proof that it adds up: every row against the counters and the provider's own ledger.")
	if err := d.enter(ctx, "campaign", "report", demoName); err != nil {
		return err
	}
	if err := d.enter(ctx, "campaign", "verify", demoName, "--ledger", filepath.Join(d.folder, "ledger.jsonl")); err != nil {
		return err
	}
	if !d.stay {
		d.say("That was a whole campaign. \"campaignd demo --stay\" keeps it for you to look around.")
		return nil
	}
	d.say("Everything keeps running. In another terminal:")
	fmt.Fprintf(d.out, "  export CAMPAIGN_DATABASE_URL='%s' %s=demo-key %s=demo-secret\n  campaignctl campaign status %s\n\nCtrl-C ends it.\n",
		valueOf(d.env, "CAMPAIGN_DATABASE_URL"), demoKey, demoSecret, demoName)
	<-ctx.Done()
	return nil
}

// settle waits until the provider has said what it has to say: the last reports
// come after the last message.
func (d *demo) settle(ctx context.Context) error {
	id, err := d.store.Campaign(ctx, demoName)
	if err != nil {
		return err
	}
	var last map[campaign.MessageState]int64
	for quiet := 0; quiet < 5; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(400 * time.Millisecond):
		}
		status, err := d.store.Status(ctx, id.ID)
		if err != nil {
			return err
		}
		if quiet++; !maps.Equal(status.Counts, last) {
			quiet = 0
		}
		last = status.Counts
	}
	return nil
}

// enter shows a command and runs it. Findings (exit 6) are part of the story but
// for verify, where they would mean that something is wrong.
func (d *demo) enter(ctx context.Context, args ...string) error {
	shown := make([]string, len(args))
	for i, a := range args {
		shown[i] = strings.ReplaceAll(a, d.folder+string(filepath.Separator), "")
	}
	fmt.Fprintf(d.out, "\n$ campaignctl %s\n", strings.Join(shown, " "))
	command := exec.CommandContext(ctx, d.ctl, args...)
	command.Env, command.Stdout, command.Stderr = d.env, d.out, os.Stderr
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 5 * time.Second
	err := command.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 6 && args[1] != "verify" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("campaignctl %s: %w", strings.Join(shown[:min(2, len(shown))], " "), err)
	}
	return nil
}

func (d *demo) say(text string) { fmt.Fprintf(d.out, "\n%s\n", text) }

func (d *demo) show(path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	fmt.Fprintf(d.out, "\n$ cat %s\n%s", filepath.Base(path), text)
}

func (d *demo) log() (*slog.Logger, func(), error) {
	f, err := os.Create(filepath.Join(d.folder, "campaignd.log"))
	if err != nil {
		return nil, nil, fmt.Errorf("open the demo's log: %w", err)
	}
	return slog.New(slog.NewTextHandler(f, nil)), func() { _ = f.Close() }, nil
}

// campaignctl finds the other program: beside this one, or in the PATH.
func campaignctl() (string, error) {
	if self, err := os.Executable(); err == nil {
		if beside := filepath.Join(filepath.Dir(self), "campaignctl"); isFile(beside) {
			return beside, nil
		}
	}
	path, err := exec.LookPath("campaignctl")
	if err != nil {
		return "", campaign.ErrNotFound.With("the demo needs campaignctl beside campaignd, or in the PATH", "run: make build")
	}
	return path, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func valueOf(env []string, name string) string {
	for _, e := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

// audience gives the contact file and where the template's two parameters come
// from: the columns of the invented file, or constants for a file of whose
// columns we know nothing.
func (d *demo) audience() (file string, parameters [2]string, err error) {
	name, voucher := "{column: first_name, default: there}", "{column: voucher}"
	if d.contacts == "" {
		file = filepath.Join(d.folder, "customers.csv")
		return file, [2]string{name, voucher}, os.WriteFile(file, []byte(demoContacts(d.recipients)), 0o600)
	}
	f, err := os.Open(d.contacts)
	if err != nil {
		return "", parameters, fmt.Errorf("open the contacts: %w", err)
	}
	defer f.Close()
	r, err := audience.Open(f, d.contacts)
	if err != nil {
		return "", parameters, fmt.Errorf("read %s: %w", d.contacts, err)
	}
	defer r.Close()
	parameters = [2]string{"there", "SPRING20"}
	if slices.Contains(r.Columns(), "first_name") {
		parameters[0] = name
	}
	if slices.Contains(r.Columns(), "voucher") {
		parameters[1] = "{column: voucher, default: SPRING20}"
	}
	file = filepath.Join(d.folder, filepath.Base(d.contacts))
	data, err := os.ReadFile(d.contacts)
	if err != nil {
		return "", parameters, fmt.Errorf("read the contacts: %w", err)
	}
	return file, parameters, os.WriteFile(file, data, 0o600)
}

func demoSpec(parameters [2]string) string {
	return fmt.Sprintf(`name: %s
channel: %s
template: {name: spring_sale, language: en_US}
audience: {list: customers}
parameters:
  body.1: %s
  body.2: %s
  button.0: %s
retry: {code_131049: {first: 2s, factor: 2, attempts: 3}}   # 24 hours against the real provider
`, demoName, demoChannel, parameters[0], parameters[1], parameters[1])
}

// demoAreas are area codes of Canada, the Caribbean, a US territory and the US;
// the numbers below end in 555-01xx, which are kept for fiction everywhere.
var demoAreas = []string{
	"204", "226", "236", "249", "250", "289", "306", "343", "365", "403", "416", "418", "431", "437", "438", "450",
	"506", "514", "519", "548", "579", "581", "587", "604", "613", "639", "647", "705", "709", "778", "780", "782",
	"807", "819", "825", "867", "873", "902", "905", "242", "246", "441", "658", "868", "876", "787", "939", "212", "305", "415",
}

var demoNames = []string{"Ann", "Björn", "Chloé", "Dmitri", "Esra", "Fatima", "Guo", "Hana", "Íris", "João", "Kofi", "Lena"}

// demoContacts invents people, and a few rows such as every real list has.
func demoContacts(n int) string {
	var b strings.Builder
	b.WriteString("phone,first_name,voucher,opt_in,opt_in_source\n")
	for i := range n {
		area := demoAreas[i%len(demoAreas)]
		consent := "2026-03-01,web form"
		if i%40 == 7 {
			consent = ",paper form" // who never agreed gets no marketing
		}
		fmt.Fprintf(&b, "+1 (%s) 555-01%02d,%s,SPRING-%04d,%s\n", area, i/len(demoAreas), demoNames[i%len(demoNames)], 1000+i, consent)
	}
	b.WriteString("+1 800 555 0199,Service line,SPRING-0001,yes,web form\n") // toll-free: no person
	b.WriteString("0151 23456789,Somebody,SPRING-0002,yes,web form\n")       // national, of no known country
	b.WriteString("call me,Nobody,SPRING-0003,yes,web form\n")
	return b.String()
}

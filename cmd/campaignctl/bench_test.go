package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// benchResult is what scripts rely on.
type benchResult struct {
	Bench   string        `json:"bench"`
	Goal    string        `json:"goal"`
	Figures []benchFigure `json:"figures"`
	Ratios  []benchFigure `json:"ratios"`
	OK      *bool         `json:"ok"`
	Machine struct {
		CPUs     int               `json:"cpus"`
		Go       string            `json:"go"`
		OS       string            `json:"os"`
		Postgres string            `json:"postgres"`
		Settings map[string]string `json:"postgres_settings"`
		Database string            `json:"database"`
	} `json:"machine"`
	Commit string `json:"commit"`
}

type benchFigure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Goal  string  `json:"goal"`
	OK    *bool   `json:"ok"`
}

func (r benchResult) figure(t *testing.T, name string) benchFigure {
	t.Helper()
	all := slices.Concat(r.Figures, r.Ratios)
	i := slices.IndexFunc(all, func(f benchFigure) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("%s has no figure %q: %+v", r.Bench, name, all)
	}
	return all[i]
}

// TestBenchSendsEveryMessageOnce: the bench itself fails when the sink did not see
// every message exactly once, so exit code 0 says that it did; speeds are nobody's
// business in a test.
func TestBenchSendsEveryMessageOnce(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.within = 8 * time.Minute // three benches with a server each, beside everything else
	reachable(t, s.dir)
	results := decode[[]benchResult](t, s.want(exitOK, "bench", "send", "--quick", "--json"))
	if len(results) != 3 {
		t.Fatalf("%d results", len(results))
	}
	for i, want := range []struct {
		bench, ratio string
		messages     float64
	}{
		{"send --messages 2000", "speed to bare HTTP client", 2000},
		{"send --messages 2000 --null", "speed to River no-op", 2000},
		{"send --messages 600 --latency 5ms --rate 200", "speed to the limit", 600},
	} {
		r := results[i]
		if r.Bench != want.bench || r.Goal == "" || r.OK == nil || r.Commit == "" {
			t.Errorf("the result of %q: %+v", want.bench, r)
		}
		m := r.Machine
		if m.CPUs < 1 || !strings.HasPrefix(m.Go, "go1") || m.OS == "" || m.Postgres == "" || m.Settings["fsync"] != "on" || m.Database != "embedded" {
			t.Errorf("the machine of %q: %+v", want.bench, m)
		}
		if n := r.figure(t, "messages").Value; n != want.messages {
			t.Errorf("%s sent %v messages", want.bench, n)
		}
		if wal := r.figure(t, "WAL per 1,000"); wal.Value <= 0 || wal.Unit != "kB" {
			t.Errorf("%s: %+v", want.bench, wal)
		}
		if ratio := r.figure(t, want.ratio); ratio.Value <= 0 || ratio.OK == nil || !strings.HasPrefix(ratio.Goal, ">= ") {
			t.Errorf("%s: %+v", want.bench, ratio)
		}
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, "campaign-bench-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// reachable lets the user in who runs PostgreSQL when we are root.
func reachable(t *testing.T, dir string) {
	t.Helper()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil { //nolint:gosec // see above
			t.Fatal(err)
		}
	}
}

func TestBenchRefusesAServerThatForgets(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	reachable(t, s.dir)
	got := s.run("bench", "send", "--messages", "100", "--setting", "fsync=off")
	if got.code != exitGuard || !strings.Contains(got.stderr, "fsync is off") {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
}

func TestBenchCommandLine(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]struct {
		code int
		says string
	}{
		"bench swim":                               {exitNotFound, `there is no bench "swim"`},
		"bench --messages 10":                      {exitUsage, "--messages is for one bench"},
		"bench send --quick --rate 5":              {exitUsage, "--rate is for one bench"},
		"bench send --sizes 10k":                   {exitUsage, "--sizes means nothing to the bench send"},
		"bench launch --sizes 10x":                 {exitUsage, `"10x" is no number of messages`},
		"bench send --rate -1":                     {exitUsage, "below 0"},
		"bench send --setting fsync":               {exitUsage, "is no NAME=VALUE"},
		"bench --database-url=x --setting fsync=1": {exitUsage, "for the temporary server"},
	} {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			got := runInProcess(strings.Fields(words)...)
			if got.code != want.code || !strings.Contains(got.stderr, want.says) {
				t.Errorf("exit code %d, want %d; stderr %q", got.code, want.code, got.stderr)
			}
		})
	}
	if n, err := parseSize("10M"); err != nil || n != 10_000_000 {
		t.Errorf("10M is %d, %v", n, err)
	}
}

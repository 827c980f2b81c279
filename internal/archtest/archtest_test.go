// Package archtest keeps the plan of the house true: which package may import
// which. It holds no code, only this test over `go list`.
package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/campaignd/campaignd/"

// rooms says for each package what it may import of ours; the commands know
// everyone. A new package needs a line here, and a thought about its place.
func rooms() map[string][]string {
	return map[string][]string{
		"internal/campaign":  {},
		"internal/throttle":  {},
		"internal/phone":     {},
		"internal/phone/gen": {}, // a program that go generate runs
		"internal/localpg":   {},
		"internal/simulator": {},
		"migrations":         {},
		"internal/audience":  {"internal/campaign", "internal/phone"},
		"internal/queue":     {"internal/campaign"},
		"internal/postgres":  {"internal/campaign", "internal/queue", "migrations"},
		"internal/dialog360": {"internal/campaign"},
		"internal/batch":     {},
		"internal/keyword":   {},
		"internal/secret":    {"internal/campaign"},
		"internal/sender":    {"internal/campaign", "internal/queue", "internal/throttle", "internal/batch"},
		"internal/webhook":   {"internal/campaign", "internal/batch"},
		"internal/dashboard": {"internal/campaign"},
		// The daemon's composition, in a room of its own so that the benchmarks run
		// what campaignd runs: it knows everyone but the commands, and those who
		// only serve them.
		"internal/daemon": {"internal/campaign", "internal/dialog360", "internal/keyword", "internal/phone", "internal/postgres", "internal/queue",
			"internal/secret", "internal/sender", "internal/throttle", "internal/webhook", "internal/metrics", "internal/planning", "internal/schedule"},
		// It shows the others from outside; none of them knows it.
		"internal/metrics":  {"internal/campaign", "internal/postgres", "internal/sender"},
		"internal/schedule": {"internal/campaign"},
		"internal/planning": {"internal/campaign", "internal/audience", "internal/postgres"},
		// Nobody imports it but a command: it watches the product from outside.
		"internal/bench": {"internal/audience", "internal/campaign", "internal/daemon", "internal/dialog360", "internal/localpg",
			"internal/postgres", "internal/queue", "internal/sender"},
		"internal/pgtest":   {"internal/postgres", "internal/localpg"},
		"internal/archtest": {},
		"internal/torture":  {},
	}
}

// fence keeps a library inside the rooms that exist for it. Only direct imports
// count: what a library of theirs needs is its own affair.
type fence struct {
	library string // and everything below it
	rooms   []string
	why     string
}

func fences() []fence {
	return []fence{
		{"github.com/riverqueue/river", []string{"internal/queue", "internal/sender", "internal/postgres", "internal/daemon", "internal/bench"}, "jobs are known where they are made and worked"},
		{"net/http", []string{"internal/dialog360", "internal/webhook", "internal/dashboard", "internal/simulator", "internal/daemon", "internal/metrics", "internal/bench"}, "the others must not know how messages travel"},
		{"github.com/prometheus", []string{"internal/metrics"}, "those who are measured must not know how"},
		{"github.com/jackc/pgx/v5", []string{"internal/postgres", "internal/queue", "internal/pgtest"}, "no SQL outside internal/postgres"},
		{"database/sql", nil, "pgx is used directly"},
		{"github.com/testcontainers/testcontainers-go", []string{"internal/pgtest"}, "containers are for tests"},
		{"github.com/fergusstrange/embedded-postgres", []string{"internal/localpg"}, "one room starts servers"},
		{"github.com/urfave/cli/v2", nil, "only the commands talk to a terminal"},
		{"github.com/nyaruka/phonenumbers", []string{"internal/phone", "internal/phone/gen"}, "one room decides what a number is"},
		{"github.com/robfig/cron/v3", []string{"internal/schedule"}, "one room decides when something comes again"},
		{"github.com/xuri/excelize/v2", []string{"internal/audience"}, "files become contacts there"},
	}
}

// goPackage is the part of `go list -json` that we look at. Imports leaves out
// what only test files import, and tests are free.
type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func (p goPackage) room() string { return strings.TrimPrefix(p.ImportPath, module) }

// isCommand: an example is a program of somebody else's.
func isCommand(room string) bool {
	return strings.HasPrefix(room, "cmd/") || strings.HasPrefix(room, "examples/")
}

func TestPackagesImportWhatTheirRoomMay(t *testing.T) {
	t.Parallel()
	for _, complaint := range check(listPackages(t), rooms(), fences()) {
		t.Error(complaint)
	}
}

// TestPgtestIsOnlyForTests: a command that linked it would carry a Docker client.
func TestPgtestIsOnlyForTests(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		if isCommand(p.room()) && slices.Contains(p.Deps, module+"internal/pgtest") {
			t.Errorf("%s depends on internal/pgtest", p.room())
		}
	}
}

func check(packages []goPackage, rooms map[string][]string, fences []fence) []string {
	var complaints []string
	complain := func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }
	for _, p := range packages {
		room := p.room()
		if isCommand(room) {
			continue
		}
		mayImport, known := rooms[room]
		if !known {
			complain("%s is in no list of internal/archtest: say there what it may import", room)
		}
		for _, imported := range p.Imports {
			if ours, ok := strings.CutPrefix(imported, module); ok && known && !slices.Contains(mayImport, ours) {
				complain("%s imports %s; of ours it may import %s", room, ours, orNothing(mayImport))
			}
			for _, f := range fences {
				if within(imported, f.library) && !slices.Contains(f.rooms, room) {
					complain("%s imports %s, which belongs to the commands and %s: %s", room, imported, orNothing(f.rooms), f.why)
				}
			}
			// The domain leans on the standard library alone.
			if first, _, _ := strings.Cut(imported, "/"); room == "internal/campaign" && strings.Contains(first, ".") {
				complain("%s imports %s; it may use the standard library only", room, imported)
			}
		}
	}
	return complaints
}

func within(imported, library string) bool {
	return imported == library || strings.HasPrefix(imported, library+"/")
}

func orNothing(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	look(t)
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps", module+"...")
	stderr := &bytes.Buffer{}
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr)
	}
	var ours []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.ImportPath, module) {
			ours = append(ours, p)
		}
	}
	if len(ours) == 0 {
		t.Fatal("go list names no package of ours")
	}
	return ours
}

// look makes the test's cached result depend on every source file: go test knows
// what this process looks at, but not what go list does.
func look(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		_, err = os.Stat(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCheck makes sure that the rules can be broken.
func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		imports  goPackage
		complain string
	}{
		"Allowed":        {goPackage{ImportPath: module + "internal/queue", Imports: []string{"fmt", module + "internal/campaign", "github.com/riverqueue/river/rivertype"}}, ""},
		"CommandsMay":    {goPackage{ImportPath: module + "cmd/campaignd", Imports: []string{"net/http", module + "internal/postgres"}}, ""},
		"Neighbour":      {goPackage{ImportPath: module + "internal/sender", Imports: []string{module + "internal/postgres"}}, "internal/sender imports internal/postgres; of ours it may import internal/campaign"},
		"Upwards":        {goPackage{ImportPath: module + "internal/campaign", Imports: []string{module + "internal/queue"}}, "may import nothing"},
		"RiverElsewhere": {goPackage{ImportPath: module + "internal/webhook", Imports: []string{"github.com/riverqueue/river"}}, "internal/webhook imports github.com/riverqueue/river, which belongs"},
		"HTTPElsewhere":  {goPackage{ImportPath: module + "internal/sender", Imports: []string{"net/http/httputil"}}, "must not know how messages travel"},
		"SQLElsewhere":   {goPackage{ImportPath: module + "internal/sender", Imports: []string{"github.com/jackc/pgx/v5/pgxpool"}}, "no SQL outside internal/postgres"},
		"DomainLeans":    {goPackage{ImportPath: module + "internal/campaign", Imports: []string{"golang.org/x/time/rate"}}, "standard library only"},
		"UnknownPackage": {goPackage{ImportPath: module + "internal/util"}, "internal/util is in no list"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(check([]goPackage{c.imports}, rooms(), fences()), "\n")
			if c.complain == "" && got != "" || !strings.Contains(got, c.complain) {
				t.Errorf("got %q, want %q", got, c.complain)
			}
		})
	}
}

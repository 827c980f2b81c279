package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// minMajor is the oldest major version that is tested.
const minMajor = 15

const remedies = "install them (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; " +
	"macOS: brew install postgresql@17), or set CAMPAIGN_DATABASE_URL to a server of yours"

// installation is a folder with server binaries.
type installation struct {
	dir     string
	version string // as in "15.18"
	major   int
}

// Find returns the folder that holds this machine's PostgreSQL server binaries
// (initdb and postgres): the first of PATH and the usual package folders, newest
// version first. The error names where it looked and the remedies.
func Find() (bindir string, err error) {
	found, err := inspect(context.Background(), machineDirs())
	if err != nil {
		return "", err
	}
	return found[0].dir, nil
}

// machineDirs are the folders that may hold server binaries, best first.
func machineDirs() []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, pattern := range packageDirs() {
		matches, _ := filepath.Glob(pattern) // only a malformed pattern fails
		slices.SortFunc(matches, newestFirst)
		dirs = append(dirs, matches...)
	}
	return dirs
}

func packageDirs() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",         // Debian and its family
		"/usr/pgsql-*/bin",                  // packages of postgresql.org for Fedora and its family
		"/usr/libexec/postgresql*",          // Alpine
		"/opt/homebrew/opt/postgresql*/bin", // Homebrew on Apple silicon
		"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
		"/Library/PostgreSQL/*/bin",         // the macOS installer
		"/usr/local/pgsql/bin",              // built from source
	}
}

// newestFirst orders folders by the number in their name, or in their parent's
// where they are called bin; 10 is newer than 9.
func newestFirst(a, b string) int {
	number := func(dir string) int { return firstNumber(filepath.Base(strings.TrimSuffix(dir, "/bin"))) }
	return number(b) - number(a)
}

func firstNumber(text string) int {
	start := strings.IndexAny(text, "0123456789")
	if start < 0 {
		return 0
	}
	end := start
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	n, _ := strconv.Atoi(text[start:end])
	return n
}

// inspect keeps the folders that really hold a server we can use, in order.
// At least one comes back without an error.
func inspect(ctx context.Context, dirs []string) ([]installation, error) {
	var found []installation
	var rejected []error
	for _, dir := range dirs {
		known := func(i installation) bool { return i.dir == dir }
		if slices.ContainsFunc(found, known) || !executable(dir, "initdb") || !executable(dir, "postgres") {
			continue
		}
		bin, err := newInstallation(ctx, dir)
		if err != nil {
			rejected = append(rejected, err)
			continue
		}
		found = append(found, bin)
	}
	if len(found) == 0 {
		looked := "PATH, " + strings.Join(packageDirs(), ", ")
		return nil, errors.Join(append(rejected, fmt.Errorf("no PostgreSQL server binaries found (looked in %s): %s", looked, remedies))...)
	}
	return found, nil
}

func newInstallation(ctx context.Context, dir string) (installation, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return installation{}, fmt.Errorf("ask %s for its version: %w", dir, err)
	}
	// "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
	_, version, _ := strings.Cut(string(out), ") ")
	version, _, _ = strings.Cut(strings.TrimSpace(version), " ")
	bin := installation{dir: dir, version: version, major: firstNumber(version)}
	if bin.major < minMajor {
		return bin, fmt.Errorf("%s holds PostgreSQL %s; %d or newer is needed", dir, version, minMajor)
	}
	return bin, nil
}

func executable(dir, name string) bool {
	info, err := os.Stat(filepath.Join(dir, name))
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// choose finds the server binaries for the home: of the data's version where
// there is data, the first found where there is none, fetched ones as the last
// resort.
func (s *Server) choose(ctx context.Context) (installation, error) {
	fetched, _ := filepath.Glob(s.home.path("binaries", "*", "bin"))
	slices.SortFunc(fetched, newestFirst)
	found, findErr := inspect(ctx, append(s.config.search(), fetched...))

	major, hasData, err := s.home.dataMajor()
	if err != nil {
		return installation{}, err
	}
	if !hasData {
		if findErr == nil {
			return found[0], nil
		}
		major = fetchMajor
	}
	for _, bin := range found {
		if bin.major == major {
			return bin, nil
		}
	}

	bin, fetchErr := s.fetch(ctx, major)
	switch {
	case fetchErr == nil:
		return bin, nil
	case findErr != nil:
		return bin, fmt.Errorf("%w; fetching them did not work either: %w", findErr, fetchErr)
	}
	return bin, fmt.Errorf("%s was written by PostgreSQL %d, but the server binaries found are %s: install PostgreSQL %d "+
		"(apt-get install postgresql-%d), or move the directory away to begin with an empty database; "+
		"fetching that version did not work: %w", s.home.dataDir(), major, list(found), major, major, fetchErr)
}

func list(found []installation) string {
	texts := make([]string, len(found))
	for i, bin := range found {
		texts[i] = bin.version + " (" + bin.dir + ")"
	}
	return strings.Join(texts, ", ")
}

// dataMajor is the major version that wrote the data.
func (h home) dataMajor() (major int, exists bool, err error) {
	path := filepath.Join(h.dataDir(), "PG_VERSION")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if major = firstNumber(string(text)); major == 0 {
		return 0, false, fmt.Errorf("%s holds no version", path)
	}
	return major, true, nil
}

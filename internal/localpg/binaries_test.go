package localpg

import (
	"archive/zip"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func nothingInstalled() []string { return nil }

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}

func TestFindGivesAFolderWithServerPrograms(t *testing.T) {
	t.Parallel()
	dir, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	if !executable(dir, "initdb") || !executable(dir, "postgres") {
		t.Errorf("%s lacks a server program", dir)
	}
}

func TestNewestVersionFirst(t *testing.T) {
	t.Parallel()
	dirs := []string{"/h9/postgresql/9.6/bin", "/h9/postgresql/15/bin", "/h9/postgresql/17/bin", "/opt/postgresql@16/bin", "/usr/libexec/postgresql14"}
	slices.SortFunc(dirs, newestFirst)
	want := []string{"/h9/postgresql/17/bin", "/opt/postgresql@16/bin", "/h9/postgresql/15/bin", "/usr/libexec/postgresql14", "/h9/postgresql/9.6/bin"}
	if !slices.Equal(dirs, want) {
		t.Errorf("got %q, want %q", dirs, want)
	}
}

func TestStartWithoutBinaries(t *testing.T) {
	t.Parallel()

	t.Run("NamesTheRemediesWhenNothingCanBeFetched", func(t *testing.T) {
		t.Parallel()
		empty := httptest.NewServer(http.NotFoundHandler())
		defer empty.Close()
		dir := newHome(t)
		_, err := Start(t.Context(), Config{Home: dir, search: nothingInstalled, repository: empty.URL})
		wantError(t, err, "no PostgreSQL server binaries found", "apt-get install postgresql", "CAMPAIGN_DATABASE_URL", "fetching them")
		if left, _ := filepath.Glob(filepath.Join(dir, "fetch-*")); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})

	t.Run("RefusesOnesThatAreTooOld", func(t *testing.T) {
		t.Parallel()
		old := newHome(t)
		if err := os.MkdirAll(old, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"initdb", "postgres"} {
			script := "#!/bin/sh\necho 'postgres (PostgreSQL) 9.6.24'\n"
			if err := os.WriteFile(filepath.Join(old, name), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		_, err := inspect(t.Context(), []string{old})
		wantError(t, err, old, "9.6.24", "15 or newer")
	})

	// The archive holds scripts that call this machine's programs, in the layout
	// of the real one; see testdata/README.md.
	t.Run("FetchesThemOnce", func(t *testing.T) {
		t.Parallel()
		asked := 0
		repository := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, ".jar") {
				http.NotFound(w, r)
				return
			}
			asked++
			archive, err := os.ReadFile("testdata/binaries.txz")
			if err != nil {
				t.Error(err)
			}
			jar := zip.NewWriter(w)
			file, err := jar.Create("postgres-linux-x86_64.txz")
			if err != nil {
				t.Error(err)
			}
			if _, err := file.Write(archive); err != nil {
				t.Error(err)
			}
			if err := jar.Close(); err != nil {
				t.Error(err)
			}
		}))
		defer repository.Close()

		config := Config{Home: newHome(t), Settings: testSettings(), search: nothingInstalled, repository: repository.URL}
		s := &Server{config: config, home: home{config.Home}}
		s.config.Logger = slog.New(slog.DiscardHandler)
		if _, err := makeHome(config.Home); err != nil {
			t.Fatal(err)
		}
		machine, err := Find()
		if err != nil {
			t.Fatal(err)
		}
		real, err := newInstallation(t.Context(), machine)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.fetch(t.Context(), fetchMajor); err != nil {
			t.Fatal(err)
		}
		server, err := Start(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer stop(t, server)
		wantAnswer(t, server.URL(), "SELECT split_part(current_setting('server_version'), ' ', 1)", real.version)
		if asked != 1 {
			t.Errorf("fetched %d times, want 1", asked)
		}
	})
}

func TestStartRefusesDataOfAnotherVersion(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("13\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		runAs, err := home{"/nonexistent"}.account()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(data, runAs.uid, runAs.gid); err != nil {
			t.Fatal(err)
		}
	}
	machine, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Config{Home: dir})
	wantError(t, err, "written by PostgreSQL 13", machine, "postgresql-13", "move the directory away")
}

func TestStartLeavesAForeignDirectoryAlone(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	if err := os.MkdirAll(filepath.Join(dir, "data", "photos"), 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(filepath.Join(dir, "data"), 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Start(t.Context(), Config{Home: dir})
	wantError(t, err, "holds no PostgreSQL database")
}

func TestHomeThatTheServersUserCannotEnter(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Start(t.Context(), Config{Home: filepath.Join(file, "home")})
		wantError(t, err, "CAMPAIGN_HOME", file)
		return
	}
	dir := filepath.Join(t.TempDir(), "home") // below a directory of mode 0700
	_, err := Start(t.Context(), Config{Home: dir})
	wantError(t, err, "cannot enter "+dir, "CAMPAIGN_HOME")
}

func TestSocketDirectoryOfAStrangerIsRefused(t *testing.T) {
	t.Parallel()
	h, err := makeHome(newHome(t))
	if err != nil {
		t.Fatal(err)
	}
	runAs, err := h.account()
	if err != nil {
		t.Fatal(err)
	}
	open, link := h.path("open"), h.path("link")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(open, link); err != nil {
		t.Fatal(err)
	}
	wantError(t, runAs.makePrivate(open), "not a private directory", "remove it")
	wantError(t, runAs.makePrivate(link), "not a private directory", "remove it")
	if err := runAs.makePrivate(h.path("mine")); err != nil {
		t.Error(err)
	}
	if err := runAs.makePrivate(h.path("mine")); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

func TestDefaultHome(t *testing.T) {
	if os.Geteuid() == 0 {
		if dir, err := DefaultHome(); err != nil || dir != rootHome {
			t.Errorf("got %q, %v; want %q", dir, err, rootHome)
		}
		return
	}
	t.Setenv("HOME", "/home/ann")
	t.Setenv("XDG_DATA_HOME", "")
	if dir, err := DefaultHome(); err != nil || dir != "/home/ann/.local/share/campaignd" {
		t.Errorf("got %q, %v", dir, err)
	}
	t.Setenv("XDG_DATA_HOME", "/data")
	if dir, err := DefaultHome(); err != nil || dir != "/data/campaignd" {
		t.Errorf("got %q, %v", dir, err)
	}
}

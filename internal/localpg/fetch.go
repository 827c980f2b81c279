package localpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// fetchMajor is what a new database gets when nothing is installed: the major
// version of the compose file's image.
const fetchMajor = 17

// fetch has the embedded-postgres library fetch server binaries and keeps them
// in the home. The library can only fetch and start in one go, and cannot start
// as root, so it gets a data directory that no server starts on; what counts is
// whether the binaries have arrived. They are moved into their place complete,
// or not at all.
func (s *Server) fetch(ctx context.Context, major int) (installation, error) {
	versions := map[int]embeddedpostgres.PostgresVersion{
		15: embeddedpostgres.V15,
		16: embeddedpostgres.V16,
		17: embeddedpostgres.V17,
		18: embeddedpostgres.V18,
	}
	version, ok := versions[major]
	if !ok {
		return installation{}, fmt.Errorf("there is no PostgreSQL %d to fetch", major)
	}
	scratch, err := os.MkdirTemp(s.home.dir, "fetch-")
	if err != nil {
		return installation{}, err
	}
	defer os.RemoveAll(scratch)

	tree, data := filepath.Join(scratch, "tree"), filepath.Join(scratch, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return installation{}, err
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(strconv.Itoa(major)), 0o600); err != nil {
		return installation{}, err
	}
	freePort, err := anyPort()
	if err != nil {
		return installation{}, err
	}
	config := embeddedpostgres.DefaultConfig().Version(version).Port(freePort).Logger(io.Discard).
		CachePath(filepath.Join(scratch, "cache")).BinariesPath(tree).
		RuntimePath(filepath.Join(scratch, "runtime")).DataPath(data)
	if s.config.repository != "" {
		config = config.BinaryRepositoryURL(s.config.repository)
	}

	s.config.Logger.InfoContext(ctx, "no PostgreSQL server binaries found, fetching them", "version", string(version))
	done := make(chan error, 1) // the library knows no context: left alone, it ends by itself
	go func() {
		library := embeddedpostgres.NewDatabase(config)
		err := library.Start()
		if err == nil {
			err = errors.Join(errors.New("a server started on no data"), library.Stop())
		}
		done <- err
	}()
	select {
	case <-ctx.Done():
		return installation{}, context.Cause(ctx)
	case err = <-done:
	}
	if !executable(filepath.Join(tree, "bin"), "postgres") {
		return installation{}, err
	}

	place := s.home.path("binaries", string(version))
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return installation{}, err
	}
	if err := os.Rename(tree, place); err != nil {
		return installation{}, err
	}
	return newInstallation(ctx, filepath.Join(place, "bin"))
}

func anyPort() (uint32, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return uint32(listener.Addr().(*net.TCPAddr).Port), nil
}

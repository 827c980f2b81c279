package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/campaignd/campaignd/internal/localpg"
)

const (
	// keeperHome makes a test program a keeper instead; see keep.
	keeperHome = "CAMPAIGN_PGTEST_KEEPER"

	// keeperIdle is how long the keeper waits, as in "1m0s".
	keeperIdle = "CAMPAIGN_PGTEST_KEEPER_IDLE"

	// idle is longer than go test takes to link the next package's tests.
	idle = time.Minute
)

// local joins or starts the server of this user's test processes.
func local(ctx context.Context) (url string, keepOpen any, err error) {
	home, err := localHome()
	if err != nil {
		return "", nil, err
	}
	s, err := localpg.Start(ctx, localConfig(home))
	if err != nil {
		return "", nil, err
	}
	if s.Started() {
		if err := startKeeper(home); err != nil {
			return "", nil, err
		}
	}
	return s.URL(), s, nil
}

func localConfig(home string) localpg.Config {
	return localpg.Config{Home: home, Settings: map[string]string{
		"fsync":              "off", // the data is worth nothing after the test
		"synchronous_commit": "off",
		"full_page_writes":   "off",
		"max_connections":    "400",
	}}
}

// localHome is a directory in the temporary one: a test server needs no backup,
// and as root its user must be able to enter. Its name holds the boot's number,
// because data written without fsync does not survive a crash of the machine.
func localHome() (string, error) {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // Linux only; others clear /tmp at boot
	sum := sha256.Sum256(boot)
	home := filepath.Join(os.TempDir(), fmt.Sprintf("campaignd-test-%d-%s", os.Geteuid(), hex.EncodeToString(sum[:4])))
	if err := os.Mkdir(home, 0o711); err != nil && !os.IsExist(err) {
		return "", err
	}
	info, err := os.Lstat(home)
	if err != nil {
		return "", err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); info.Mode().Type() != fs.ModeDir || !ok || int(stat.Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s is not a directory of this user: remove it", home)
	}
	return home, nil
}

// A test process cannot stop the server when it ends: it does not know that it
// is the last one, and nothing runs at its end. So the one that starts the
// server also starts a keeper, the same program once more, which waits until
// nobody has used the server for a while.
func init() {
	if home := os.Getenv(keeperHome); home != "" {
		idle, err := time.ParseDuration(os.Getenv(keeperIdle))
		if err != nil {
			os.Exit(2)
		}
		os.Exit(keep(context.Background(), home, idle))
	}
}

func startKeeper(home string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	keeper := exec.Command(program)
	keeper.Dir = "/"
	keeper.Env = append(os.Environ(), keeperHome+"="+home, keeperIdle+"="+idle.String())
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // outlives the test and its terminal
	if err := keeper.Start(); err != nil {
		return fmt.Errorf("start the test server's keeper: %w", err)
	}
	return keeper.Process.Release()
}

// keep returns the exit code of the keeper's process.
func keep(ctx context.Context, home string, idle time.Duration) int {
	only, err := os.OpenFile(filepath.Join(home, "keeper.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 1
	}
	defer only.Close()
	if syscall.Flock(int(only.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return 0 // there is a keeper; two would keep the server up for each other
	}
	s, err := localpg.Start(ctx, localConfig(home))
	if err != nil {
		return 1
	}
	for since := time.Now(); time.Since(since) < idle; time.Sleep(idle / 20) {
		if alone, err := s.Alone(ctx); err != nil || !alone {
			since = time.Now()
		}
	}
	if err := s.Stop(ctx); err != nil {
		return 1
	}
	return 0
}

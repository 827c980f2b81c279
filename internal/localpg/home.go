package localpg

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// rootHome is root's default home: the server runs as another user then, who
// could not enter /root.
const rootHome = "/var/lib/campaignd"

// maxSocketPath is below the limit of every system we know (Linux 107 bytes,
// macOS 103), the socket's own name included.
const maxSocketPath = 100

// DefaultHome is where the server of this user lives when nothing else is said:
// $XDG_DATA_HOME/campaignd, else ~/.local/share/campaignd; for root
// /var/lib/campaignd.
func DefaultHome() (string, error) {
	if os.Geteuid() == 0 {
		return rootHome, nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "campaignd"), nil
	}
	dir, err := os.UserHomeDir()
	if err != nil {
		var u *user.User
		if u, err = user.Current(); err == nil {
			dir = u.HomeDir
		}
	}
	if err != nil || !filepath.IsAbs(dir) {
		return "", errors.New("this user has no home directory: set CAMPAIGN_HOME to a directory for campaignd's data")
	}
	return filepath.Join(dir, ".local", "share", "campaignd"), nil
}

// home is the directory of one server:
//
//	data/          the database cluster, owned by the server's user
//	run/           the socket, unless the path is too long for one
//	binaries/      fetched server binaries, by version
//	pg_hba.conf    pg_ident.conf, written at each start
//	postgres.log   what the server says
//	turn.lock      held while starting or stopping
//	users.lock     held (shared) by every program that uses the server
type home struct{ dir string }

func (h home) path(name ...string) string {
	return filepath.Join(append([]string{h.dir}, name...)...)
}

func (h home) dataDir() string { return h.path("data") }
func (h home) logFile() string { return h.path("postgres.log") }

// resolveHome follows links, so that one directory has one name.
func resolveHome(dir string) home {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return home{dir}
}

func makeHome(dir string) (home, error) {
	mode := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711 // the server's user passes through to what it owns
	}
	_, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(dir, 0o755); err == nil {
			err = os.Chmod(dir, mode) // whatever the umask is
		}
	}
	if err != nil {
		return home{}, fmt.Errorf("make the home directory (CAMPAIGN_HOME): %w", err)
	}
	return resolveHome(dir), nil
}

// account is the user that the server runs as.
type account struct {
	name     string
	uid, gid int
}

func (h home) account() (account, error) {
	if os.Geteuid() != 0 {
		u, err := user.Current()
		if err != nil {
			return account{}, fmt.Errorf("look up this user: %w", err)
		}
		return newAccount(u)
	}
	if uid, ok := owner(h.dataDir()); ok {
		u, err := user.LookupId(strconv.Itoa(uid))
		if err != nil {
			return account{}, fmt.Errorf("look up the owner of %s: %w", h.dataDir(), err)
		}
		return newAccount(u)
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			return newAccount(u)
		}
	}
	return account{}, errors.New(`PostgreSQL refuses to run as root, and there is no user "postgres" or "nobody" to run it as: create one, or run as an ordinary user`)
}

func newAccount(u *user.User) (account, error) {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return account{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	if uid == 0 {
		return account{}, errors.New("the data directory belongs to root, and PostgreSQL refuses to run as root: give it to an ordinary user")
	}
	return account{u.Username, uid, gid}, nil
}

// sysProcAttr puts a program into a session of its own, so that neither Ctrl-C
// nor a closing terminal reaches the server before its users are done with it,
// and makes it this account when we are root.
func (a account) sysProcAttr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

// makePrivate makes a directory that only the account (and root) can enter.
func (a account) makePrivate(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if os.Geteuid() == 0 && err == nil {
		return os.Lchown(dir, a.uid, a.gid)
	}
	info, err := os.Lstat(dir) // a link is somebody else's trick, not our directory
	if err != nil {
		return err
	}
	uid, _ := owner(dir)
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 || uid != a.uid {
		return fmt.Errorf("%s is not a private directory (mode 0700) of user %s: remove it", dir, a.name)
	}
	return nil
}

func owner(path string) (uid int, ok bool) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}

// socketDir is run/ in the home, or a directory with a short name where that
// does not fit a socket address or a connection string.
func (h home) socketDir() string {
	if dir := h.path("run"); fits(dir) {
		return dir
	}
	sum := sha256.Sum256([]byte(h.dir))
	name := fmt.Sprintf("campaignd-%d-%s", os.Geteuid(), hex.EncodeToString(sum[:6]))
	if dir := filepath.Join(os.TempDir(), name); fits(dir) {
		return dir
	}
	return filepath.Join("/tmp", name)
}

// fits also refuses a comma: in a connection string it separates hosts.
func fits(dir string) bool {
	return len(socketIn(dir)) <= maxSocketPath && !strings.Contains(dir, ",")
}

func socketIn(dir string) string { return filepath.Join(dir, ".s.PGSQL."+port) }

func currentUserName() (string, error) {
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("look up this user: %w", err)
	}
	return u.Username, nil
}

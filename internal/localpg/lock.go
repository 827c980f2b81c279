package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lock is an advisory lock on a file. It belongs to the open file, not to the
// process, so two of them exclude each other within one program too, and the
// kernel drops it when the program dies. Go opens files close-on-exec, so the
// server does not inherit it.
type lock struct{ file *os.File }

func openLock(path string) (*lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	return &lock{file}, nil
}

// tryExclusive reports whether nobody else holds the lock, and then holds it
// alone. When it is refused, a shared lock held before may be lost: call it
// under the turn lock and take the shared one again.
func (l *lock) tryExclusive() (bool, error) {
	return l.try(syscall.LOCK_EX)
}

// shared holds the lock together with others. It is called under the turn lock,
// where nobody holds it exclusively.
func (l *lock) shared() error {
	ok, err := l.try(syscall.LOCK_SH)
	if err == nil && !ok {
		err = fmt.Errorf("%s is locked by another program", l.file.Name())
	}
	return err
}

func (l *lock) try(how int) (bool, error) {
	for {
		err := syscall.Flock(int(l.file.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		default:
			return false, fmt.Errorf("lock %s: %w", l.file.Name(), err)
		}
	}
}

func (l *lock) release() { _ = l.file.Close() }

// lockTurn waits for the right to start or stop the server of this home.
func (h home) lockTurn(ctx context.Context) (*lock, error) {
	l, err := openLock(h.path("turn.lock"))
	if err != nil {
		return nil, err
	}
	err = poll(ctx, func() (bool, error) { return l.tryExclusive() })
	if err != nil {
		l.release()
		return nil, fmt.Errorf("wait for another program to start or stop the PostgreSQL server in %s: %w", h.dir, err)
	}
	return l, nil
}

// poll calls done every 20 ms until it says true or fails, or the context ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

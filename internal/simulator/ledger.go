package simulator

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Entry is one POST to /messages as the provider saw it: a line of the ledger.
//
// Outcome is accepted, held or paused; refused:CODE with the Meta code;
// refused:401 for a bad key; or the name of a fault: cut_before, cut_after,
// slow, half_answer, empty_502, html_504, garbage_200, no_id_200, error_200,
// redirect_307, gateway_throttle, gateway_500; abandoned when the client went
// away before the provider had decided. ID is there exactly when the
// provider took the message, whatever the client was told.
type Entry struct {
	At      time.Time `json:"at"`
	To      string    `json:"to"`
	Opaque  string    `json:"opaque,omitempty"`
	ID      string    `json:"id,omitempty"`
	Outcome string    `json:"outcome"`
}

const (
	ledgerFlush  = 100 * time.Millisecond
	ledgerBuffer = 1 << 16
	// Entries kept in memory when there is no file.
	ledgerMemory = 100_000
)

// Ledger records every POST seen. It goes on counting when its file cannot be
// written; the first error is logged and returned by Run at the end.
type Ledger struct {
	logger  *slog.Logger
	count   atomic.Int64
	failed  atomic.Int64 // entries that did not reach the file
	mu      sync.Mutex
	path    string
	file    io.WriteCloser // nil: in memory
	w       *bufio.Writer
	pending int64 // entries in w
	err     error
	entries []Entry
}

func openLedger(path string, logger *slog.Logger) (*Ledger, error) {
	l := &Ledger{logger: logger, path: path}
	if path == "" {
		return l, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l.file, l.w = f, bufio.NewWriterSize(f, ledgerBuffer)
	return l, nil
}

func (l *Ledger) add(e Entry) {
	l.count.Add(1)
	if l.file == nil {
		l.mu.Lock()
		if len(l.entries) < ledgerMemory {
			l.entries = append(l.entries, e)
		}
		l.mu.Unlock()
		return
	}
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // only a year beyond 9999 does not encode
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		l.failed.Add(1)
		return
	}
	l.pending++
	if _, err := l.w.Write(append(line, '\n')); err != nil {
		l.fail(err)
	}
}

// fail notes the first write error: a bufio.Writer takes nothing after one.
func (l *Ledger) fail(err error) {
	l.err = err
	l.failed.Add(l.pending)
	l.logger.Error("the ledger cannot be written and is incomplete from here on; the simulator goes on answering",
		"ledger", l.path, "error", err)
}

func (l *Ledger) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || l.err != nil {
		return l.err
	}
	if err := l.w.Flush(); err != nil {
		l.fail(err)
		return err
	}
	l.pending = 0
	return nil
}

// run flushes until the context ends, then closes the file.
func (l *Ledger) run(ctx context.Context) {
	tick := time.NewTicker(ledgerFlush)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = l.flush() // kept in l.err and returned by close
		}
	}
}

func (l *Ledger) close() error {
	err := l.flush()
	if l.file != nil {
		if closing := l.file.Close(); err == nil {
			err = closing
		}
	}
	if err != nil {
		return fmt.Errorf("the ledger %s lacks %d entries: %w", l.path, l.failed.Load(), err)
	}
	return nil
}

// Count is the number of POSTs seen.
func (l *Ledger) Count() int64 { return l.count.Load() }

// Entries returns what was recorded, read back from the file when there is one;
// without a file the first 100,000 entries.
func (l *Ledger) Entries() ([]Entry, error) {
	if l.file == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		return append([]Entry(nil), l.entries...), nil
	}
	if err := l.flush(); err != nil {
		return nil, err
	}
	return ReadLedger(l.path)
}

// ReadLedger reads a ledger file.
func ReadLedger(path string) ([]Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var entries []Entry
	for d := json.NewDecoder(f); ; {
		var e Entry
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return entries, nil
		} else if err != nil {
			return nil, fmt.Errorf("ledger %s, entry %d: %w", path, len(entries)+1, err)
		}
		entries = append(entries, e)
	}
}

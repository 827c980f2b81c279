package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"sync"
	"time"
)

// entry is a line of the provider's ledger: a POST as the provider saw it. ID is
// there exactly when the provider took the message.
type entry struct {
	At      time.Time `json:"at"`
	To      string    `json:"to"`
	Opaque  string    `json:"opaque"`
	ID      string    `json:"id"`
	Outcome string    `json:"outcome"`
}

func (e entry) taken() bool { return e.ID != "" }

// ledger follows the file while the provider writes it.
type ledger struct {
	path    string
	mu      sync.Mutex
	read    int64 // bytes
	entries []entry
}

func followLedger(ctx context.Context, path string) *ledger {
	l := &ledger{path: path}
	go func() {
		for ctx.Err() == nil {
			l.readOn()
			time.Sleep(25 * time.Millisecond)
		}
	}()
	return l
}

// readOn takes up the complete lines that were written since.
func (l *ledger) readOn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	file, err := os.Open(l.path)
	if err != nil {
		return
	}
	defer file.Close()
	if _, err := file.Seek(l.read, 0); err != nil {
		return
	}
	reader := bufio.NewReader(file)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			return // half a line: the rest of it comes
		}
		l.read += int64(len(line))
		var e entry
		if json.Unmarshal(bytes.TrimSpace(line), &e) == nil {
			l.entries = append(l.entries, e)
		}
	}
}

func (l *ledger) all() []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]entry(nil), l.entries...)
}

// firstAfter gives the time of the first POST after a moment.
func (l *ledger) firstAfter(at time.Time) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Entries are nearly in the order of time, and the moment is recent.
	first, found := time.Time{}, false
	for i := len(l.entries) - 1; i >= 0 && l.entries[i].At.After(at.Add(-time.Second)); i-- {
		if e := l.entries[i]; e.At.After(at) {
			first, found = e.At, true
		}
	}
	return first, found
}

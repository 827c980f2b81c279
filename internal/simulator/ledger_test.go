package simulator

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLedgerFileIsCompleteAfterStop(t *testing.T) {
	t.Parallel()

	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	s, err := New(Config{LedgerFile: path})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Ready()
	for i := range 50 {
		call(t, "POST", s.URL()+"/messages", "", sendTo(fmt.Sprintf("+4917012345%02d", i), ""))
	}
	eventually(t, "a flush without a stop", func() bool {
		b, _ := os.ReadFile(path)
		return bytes.Count(b, []byte{'\n'}) == 50
	})
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	entries, err := ReadLedger(path)
	if err != nil || len(entries) != 50 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	ids := map[string]bool{}
	for _, e := range entries {
		ids[e.ID] = true
	}
	if len(ids) != 50 {
		t.Error("ids are not unique")
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errorFull }
func (fullDisk) Close() error              { return nil }

var errorFull = fmt.Errorf("no space left on device")

func TestFullDiskDoesNotStopTheSimulator(t *testing.T) {
	t.Parallel()

	s, err := New(Config{LedgerFile: filepath.Join(t.TempDir(), "ledger.jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	s.ledger.file.Close()
	s.ledger.file = fullDisk{}
	s.ledger.w.Reset(fullDisk{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Ready()
	call(t, "POST", s.URL()+"/messages", "", sendTo("+491701234567", ""))
	eventually(t, "the failed flush", func() bool { return s.Stats().LedgerFailed == 1 })
	if status, _, _ := call(t, "POST", s.URL()+"/messages", "", sendTo("+491701234567", "")); status != 200 {
		t.Errorf("status %d after the disk was full", status)
	}
	if s.Stats().LedgerFailed != 2 {
		t.Errorf("stats %+v", s.Stats())
	}
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "lacks 2 entries: no space left") {
		t.Errorf("Run returned %v", err)
	}
}

// What the provider took is reported, what it did not take is not, whatever the
// client was told: the ledger is the truth that tests compare with.
func TestHostileProfileReportsExactlyWhatTheLedgerHas(t *testing.T) {
	t.Parallel()

	target := newReceiver(t)
	target.fail = 3
	s := start(t, Config{WebhookURL: target.URL, Profile: Hostile, Seed: 11, Pace: 0.0005, Rate: -1, Latency: time.Millisecond, SlowAnswer: 20 * time.Millisecond})
	const n = 600
	told := map[string]bool{}
	for i := range n {
		_, body, _ := call(t, "POST", s.URL()+"/messages", "", spring(fmt.Sprintf("+91981234%04d", i), fmt.Sprint(i)))
		if list, ok := body["messages"].([]any); ok && len(list) == 1 {
			told[list[0].(map[string]any)["id"].(string)] = true
		}
	}
	eventually(t, "an empty backlog", func() bool { return s.Stats().WebhooksWaiting == 0 })

	entries, err := s.Ledger().Entries()
	if err != nil || len(entries) != n {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	target.mu.Lock()
	defer target.mu.Unlock()
	reported, opaque := map[string]bool{}, map[string]string{}
	for _, r := range target.statuses {
		reported[r.ID], opaque[r.ID] = true, r.Opaque
	}
	taken, silent := 0, 0
	for _, e := range entries {
		if e.ID == "" {
			continue
		}
		taken++
		if !reported[e.ID] || opaque[e.ID] != e.Opaque {
			t.Errorf("%s %s: reported %v as %q", e.Outcome, e.Opaque, reported[e.ID], opaque[e.ID])
		}
		if !told[e.ID] {
			silent++
		}
		delete(reported, e.ID)
		delete(told, e.ID)
	}
	if len(reported) > 0 || len(told) > 0 {
		t.Errorf("%d messages were reported and %d acknowledged that are not in the ledger", len(reported), len(told))
	}
	if taken < n/2 || taken == n || silent == 0 {
		t.Errorf("%d taken, %d of them without telling the client", taken, silent)
	}
}

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Whoever stops is told so once, where somebody set a text: however often the
// stop is delivered, and whatever becomes of the daemon meanwhile.
func TestAStopIsConfirmedOnceAcrossRestarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--profile", "clean")
	w.audience(4)
	daemon := w.daemon()
	person := func(i int) string {
		return fmt.Sprintf("+1%s%07d", []string{"204", "416", "514", "212"}[i], 2_000_000+i)
	}
	stop := func(i int, age time.Duration) {
		t.Helper()
		w.webhook(fmt.Sprintf(`"messages":[{"from":%q,"id":"wamid.stop.%d","timestamp":"%d","type":"text","text":{"body":"STOP"}}]`,
			person(i)[1:], i, time.Now().Add(-age).Unix()))
	}
	told := func() map[string]int {
		t.Helper()
		n := map[string]int{}
		for _, e := range w.entries() {
			if !strings.Contains(e.Opaque, "/confirmation/") || e.Outcome != "accepted" {
				t.Errorf("a POST that is none of ours: %+v", e)
			}
			n[e.To]++
		}
		return n
	}
	// Off by default.
	w.post("/simulator/inbound", fmt.Sprintf(`{"from":%q,"text":"hello"}`, person(0)))
	stop(0, 0)
	time.Sleep(3 * time.Second)
	if n := told(); len(n) != 0 {
		t.Errorf("told although nobody set a text: %v", n)
	}

	w.ctl(0, "suppress", "words", "confirm", "sales", "You are unsubscribed.")
	stop(0, 0) // no news
	w.post("/simulator/inbound", fmt.Sprintf(`{"from":%q,"text":"hello"}`, person(1)))
	for range 3 {
		stop(1, 0)
	}
	stop(2, 25*time.Hour) // outside the window
	for deadline := time.Now().Add(30 * time.Second); told()[person(1)] == 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody was told")
		}
	}
	w.stop(daemon)
	daemon = w.daemon()
	for range 2 {
		stop(1, 0)
	}
	// What a crash leaves is sent by the next start: the channel is held, so that
	// the stop is heard and its confirmation waits.
	w.ctl(0, "channel", "pause", "sales")
	w.post("/simulator/inbound", fmt.Sprintf(`{"from":%q,"text":"hello"}`, person(3)))
	stop(3, 0)
	time.Sleep(2 * time.Second)
	if n := told(); n[person(3)] != 0 {
		t.Errorf("told under a hold: %v", n)
	}
	_ = daemon.Process.Kill()
	<-daemon.done
	daemon.done <- nil
	w.daemon()
	w.ctl(0, "channel", "resume", "sales")
	for deadline := time.Now().Add(30 * time.Second); told()[person(3)] == 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what waited was not sent")
		}
	}
	stop(3, 0)
	time.Sleep(3 * time.Second)
	if n := told(); len(n) != 2 || n[person(1)] != 1 || n[person(3)] != 1 {
		t.Errorf("told: %v", n)
	}
	w.verify()
}

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Whoever says stop while thousands are queued gets nothing from the second in
// which that is acknowledged; whoever is forgotten leaves no trace at the end.
func TestAStopIsObeyedWhileThousandsAreQueued(t *testing.T) {
	t.Parallel()
	// At 200/s the list takes half a minute.
	w := newWorldAt(t, 200, "--profile", "clean")
	const total = 8000
	w.audience(total)
	w.daemon()
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	w.until("something sent", func(s campaign.Status) bool { return s.Counts[campaign.Read] > 100 })

	// People from the end of the list, who are not in turn yet.
	person := func(i int) string { return fmt.Sprintf("+1514%07d", 2_000_000+total-2-4*i) }
	acknowledged := map[string]time.Time{}
	for i, how := range []string{`"type":"text","text":{"body":"STOP"}`, `"type":"text","text":{"body":"¡Baja!"}`,
		`"type":"button","button":{"payload":"x","text":"Stop promotions"}`} {
		w.webhook(fmt.Sprintf(`"messages":[{"from":%q,"id":"wamid.in.%d","timestamp":"%d",%s}]`, person(i)[1:], i, time.Now().Unix(), how))
		acknowledged[person(i)] = time.Now()
	}
	w.webhook(fmt.Sprintf(`"user_preferences":[{"wa_id":%q,"value":"stop","timestamp":%d}]`, person(3)[1:], time.Now().Unix()))
	acknowledged[person(3)] = time.Now()
	w.ctl(0, "contact", "forget", person(5), "--yes")
	w.ctl(0, "suppress", "add", person(6))
	w.until("completed", func(s campaign.Status) bool { return s.State == campaign.Completed })
	if s := w.status(); s.Skipped["opted_out"] != 4 || s.Skipped["suppressed"] != 2 {
		t.Errorf("skipped %v", s.Skipped)
	}
	for _, e := range w.entries() {
		if at, stopped := acknowledged[e.To]; stopped {
			t.Errorf("a person whose stop was acknowledged at %v got a message at %v", at, e.At)
		}
		if e.To == person(5) || e.To == person(6) {
			t.Errorf("somebody who was suppressed got a message")
		}
	}
	w.verify()
}

// webhook gives the daemon a delivery and returns when it is acknowledged.
func (w *world) webhook(parts string) {
	w.t.Helper()
	body := `{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messaging_product":"whatsapp",` + parts + `}}]}]}`
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+w.listen+"/webhooks/sales", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer secret-of-the-webhook")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		w.t.Fatalf("the webhook was answered %s", response.Status)
	}
}

// entries are all POSTs that the provider saw.
func (w *world) entries() []campaign.LedgerEntry {
	w.t.Helper()
	time.Sleep(300 * time.Millisecond) // the ledger is written every 100 ms
	file, err := os.Open(w.ledger)
	if err != nil {
		w.t.Fatal(err)
	}
	defer file.Close()
	var entries []campaign.LedgerEntry
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var e campaign.LedgerEntry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			w.t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

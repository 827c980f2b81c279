package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Whoever says stop while thousands are queued gets nothing from the second in
// which that is acknowledged; whoever is forgotten leaves no trace at the end.
func TestAStopIsObeyedWhileThousandsAreQueued(t *testing.T) {
	t.Parallel()
	// At this rate the list takes half a minute, where the machine can do it.
	w := newWorldAt(t, 1500, "--profile", "clean")
	const total = 50_000
	w.audience(total)
	w.daemon()
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	w.until("something sent", func(s campaign.Status) bool { return s.Counts[campaign.Read] > 100 })

	acknowledged := map[string]time.Time{}
	// People whose jobs wait in the queue: the last of it.
	rows, err := w.admin().Query(t.Context(), `SELECT phone FROM campaign.messages WHERE state = 'queued' ORDER BY id DESC LIMIT 5`)
	if err != nil {
		t.Fatal(err)
	}
	queued, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(queued) != 5 {
		t.Fatalf("%d queued, %v", len(queued), err)
	}
	for i, number := range queued {
		w.webhook(fmt.Sprintf(`"messages":[{"from":%q,"id":"wamid.queued.%d","timestamp":"%d","type":"text","text":{"body":"STOP"}}]`, number[1:], i, time.Now().Unix()))
		acknowledged[number] = time.Now()
	}
	// People from the end of the list, who are not in turn yet.
	person := func(i int) string { return fmt.Sprintf("+1514%07d", 2_000_000+total-2-4*i) }
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
	early := int64(0)
	for _, e := range w.entries() {
		// A claim that came first is posted: that takes milliseconds.
		if at, stopped := acknowledged[e.To]; stopped && e.At.After(at.Add(time.Second)) {
			t.Errorf("a person whose stop was acknowledged at %v got a message at %v", at, e.At)
		} else if stopped {
			early++
		}
		if e.To == person(5) || e.To == person(6) {
			t.Errorf("somebody who was suppressed got a message")
		}
	}
	if s := w.status(); early == int64(len(queued)) || s.Skipped["opted_out"] != 9-early || s.Skipped["suppressed"] != 2 {
		t.Errorf("%d were sent to before their stop, skipped %v", early, s.Skipped)
	}
	w.verify("spring")
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

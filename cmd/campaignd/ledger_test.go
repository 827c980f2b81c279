package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// entries are all POSTs that the provider answered until now. It is asked and not
// its file read, which it writes ten times a second if it gets to it; the answer
// comes from the file, so that what reads that afterwards finds them there, too.
func (w *world) entries() []campaign.LedgerEntry {
	w.t.Helper()
	client := http.Client{Timeout: time.Minute}
	resp, err := client.Get(w.base + "/simulator/ledger")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("the provider's ledger: %s, %v", resp.Status, err)
	}
	// A POST that is written just now may be half there.
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	var entries []campaign.LedgerEntry
	for line := range bytes.Lines(data) {
		var e campaign.LedgerEntry
		if err := json.Unmarshal(line, &e); err != nil {
			w.t.Fatalf("%q in the provider's ledger: %v", line, err)
		}
		entries = append(entries, e)
	}
	return entries
}

// taken counts the POSTs that the provider took, by recipient.
func (w *world) taken() map[string]int {
	w.t.Helper()
	counts := map[string]int{}
	for _, e := range w.entries() {
		if e.Outcome == "accepted" {
			counts["+"+strings.TrimPrefix(e.To, "+")]++
		}
	}
	return counts
}

// verify holds the rows of a campaign, or of everything, against each other and
// against the provider's ledger.
func (w *world) verify(campaigns ...string) {
	w.t.Helper()
	w.entries()
	w.ctl(0, append(append([]string{"campaign", "verify"}, campaigns...), "--ledger", w.ledger)...)
}

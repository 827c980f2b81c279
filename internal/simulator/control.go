package simulator

import (
	"bufio"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// templateStatuses are the events of a template (whatsapp-facts §1.3, §6.5).
var templateStatuses = []string{
	"APPROVED", "PENDING", "REJECTED", "PAUSED", "DISABLED", "IN_APPEAL", "PENDING_DELETION", "LIMIT_EXCEEDED", "ARCHIVED",
}

// serveControl answers the paths of the simulator's own, to loopback callers.
func (s *Simulator) serveControl(w http.ResponseWriter, r *http.Request) {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err != nil || !isLoopback(host) {
		writeError(w, http.StatusForbidden, "the simulator's own paths answer loopback callers only")
		return
	}
	n := s.pick(r.URL.Query())
	if n == nil {
		writeError(w, http.StatusNotFound, "phone: there is no such number")
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/simulator/")
	parts := strings.Split(path, "/")
	switch {
	case path == "stats" && r.Method == http.MethodGet:
		writeJSON(w, http.StatusOK, s.Stats())
	case path == "ledger" && r.Method == http.MethodGet:
		s.writeLedger(w)
	case len(parts) == 4 && parts[0] == "templates" && parts[3] == "status" && r.Method == http.MethodPost:
		s.controlTemplate(w, r, n, parts[1], parts[2])
	case path == "account" && r.Method == http.MethodPost:
		s.controlAccount(w, r, n)
	case path == "inbound" && r.Method == http.MethodPost:
		s.controlInbound(w, r, n)
	case path == "behaviours" && r.Method == http.MethodPost:
		s.controlBehaviours(w, r)
	default:
		writeError(w, http.StatusNotFound, "Not found")
	}
}

// pick finds the number of ?phone=; without it the first.
func (s *Simulator) pick(q url.Values) *number {
	phone := digitsOf(q.Get("phone"))
	if phone == "" {
		return s.numbers[0]
	}
	if i := slices.IndexFunc(s.numbers, func(n *number) bool { return n.phone == phone }); i >= 0 {
		return s.numbers[i]
	}
	return nil
}

// writeLedger streams the ledger as it stands.
func (s *Simulator) writeLedger(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	l := s.ledger
	if l.file != nil {
		_ = l.flush() // what is there is shown; the error stands in the stats
		f, err := os.Open(l.path)
		if err != nil {
			writeError(w, http.StatusInternalServerError, "the ledger cannot be read")
			return
		}
		defer f.Close()
		_, _ = bufio.NewReader(f).WriteTo(w)
		return
	}
	entries, _ := l.Entries() // without a file there is no error
	encoder := json.NewEncoder(w)
	for _, e := range entries {
		if encoder.Encode(e) != nil {
			return // the reader is gone
		}
	}
}

func (s *Simulator) controlTemplate(w http.ResponseWriter, r *http.Request, n *number, name, language string) {
	var want struct{ Status, Reason string }
	if err := readJSON(w, r, &want); err != nil || !slices.Contains(templateStatuses, strings.ToUpper(want.Status)) {
		writeError(w, http.StatusBadRequest, "status: must be one of "+strings.Join(templateStatuses, ", "))
		return
	}
	t := s.setTemplateStatus(n, name, strings.ReplaceAll(language, "-", "_"), strings.ToUpper(want.Status), want.Reason)
	if t == nil {
		writeError(w, http.StatusNotFound, "there is no such template")
		return
	}
	writeJSON(w, http.StatusOK, t.object(false))
}

// controlAccount sends an account_update with the given event.
func (s *Simulator) controlAccount(w http.ResponseWriter, r *http.Request, n *number) {
	var want struct {
		Event           string `json:"event"`
		RestrictionType string `json:"restriction_type"`
		ExpiresIn       int64  `json:"expires_in"` // seconds
		BanState        string `json:"waba_ban_state"`
	}
	if err := readJSON(w, r, &want); err != nil || want.Event == "" {
		writeError(w, http.StatusBadRequest, "event: is required, such as ACCOUNT_RESTRICTION")
		return
	}
	now := time.Now()
	value := map[string]any{"event": want.Event}
	switch want.Event {
	case "ACCOUNT_RESTRICTION":
		if want.RestrictionType == "" {
			want.RestrictionType = "RESTRICTED_BIZ_INITIATED_MESSAGING"
		}
		if want.ExpiresIn == 0 {
			want.ExpiresIn = 3 * 24 * 60 * 60
		}
		value["restriction_info"] = []any{map[string]any{
			"restriction_type": want.RestrictionType, "expiration": now.Unix() + want.ExpiresIn,
		}}
	case "DISABLED_UPDATE":
		if want.BanState == "" {
			want.BanState = "DISABLE"
		}
		value["ban_info"] = map[string]any{"waba_ban_state": want.BanState, "waba_ban_date": now.UTC().Format("January 2, 2006")}
	case "ACCOUNT_VIOLATION":
		value["violation_info"] = map[string]any{"violation_type": "SPAM"}
	}
	n.webhooks.add(event{change: &wireChange{Field: "account_update", Value: value}, at: now})
	writeJSON(w, http.StatusOK, value)
}

// controlInbound sends a message of a person to the number: a text, or the press
// of a quick reply button.
func (s *Simulator) controlInbound(w http.ResponseWriter, r *http.Request, n *number) {
	var want struct {
		From      string `json:"from"`
		Text      string `json:"text"`
		Button    string `json:"button"`
		ContextID string `json:"context_id"`
	}
	if err := readJSON(w, r, &want); err != nil || digitsOf(want.From) == "" || (want.Text == "") == (want.Button == "") {
		writeError(w, http.StatusBadRequest, "from and one of text and button are required")
		return
	}
	waID, now := digitsOf(want.From), time.Now()
	n.people.heard(hash(s.config.Seed, "person", n.phoneID, canonical("+"+waID, n.code)), now)
	if s.profile.odd {
		waID = whatsAppID(waID)
	}
	m := map[string]any{"from": waID, "id": s.messageID(waID, cloud), "timestamp": strconv.FormatInt(now.Unix(), 10)}
	if want.Text != "" {
		m["type"], m["text"] = "text", map[string]string{"body": want.Text}
	} else {
		m["type"], m["button"] = "button", map[string]string{"payload": want.Button, "text": want.Button}
	}
	if want.ContextID != "" {
		m["context"] = map[string]string{"from": n.metadata.DisplayPhoneNumber, "id": want.ContextID}
	}
	contact := wireContact{WaID: waID}
	contact.Profile.Name = "Simulated recipient"
	n.webhooks.add(event{at: now, change: &wireChange{Field: "messages", Value: wireValue{
		MessagingProduct: "whatsapp", Metadata: n.metadata, Contacts: []wireContact{contact}, Messages: []any{m},
	}}})
	writeJSON(w, http.StatusOK, m)
}

// controlBehaviours adds rows to the behaviours or replaces those of the same
// number. Attempts made so far count.
func (s *Simulator) controlBehaviours(w http.ResponseWriter, r *http.Request) {
	more, err := readBehaviours(http.MaxBytesReader(w, r.Body, 64<<20))
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	s.assigning.Lock()
	list := maps.Clone(*s.assigned.Load())
	maps.Copy(list, more)
	s.assigned.Store(&list)
	s.assigning.Unlock()
	writeJSON(w, http.StatusOK, map[string]int{"behaviours": len(list)})
}

package simulator

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dialect is one of the three ways to send.
type dialect uint8

const (
	cloud     dialect = iota
	marketing         // POST /marketing_messages: errors are wrapped in detail
	sandbox           // POST /v1/messages: old fields tolerated, 201, no details in the answer
)

func (s *Simulator) postMessage(w http.ResponseWriter, r *http.Request, n *number) {
	s.post(w, r, n, cloud)
}

func (s *Simulator) postMarketingMessage(w http.ResponseWriter, r *http.Request, n *number) {
	s.post(w, r, n, marketing)
}

func (s *Simulator) postSandboxMessage(w http.ResponseWriter, r *http.Request, n *number) {
	s.post(w, r, n, sandbox)
}

// delivery is a send on its way through the provider.
type delivery struct {
	number  *number
	dialect dialect
	at      time.Time
	send    *send
	digits  string // where it goes; empty for a BSUID or a group
	verdict verdict
	id      string // once taken
	waID    string
	person  uint64 // hash of the recipient
	chance  dice   // of this very send
}

func (s *Simulator) post(w http.ResponseWriter, r *http.Request, n *number, how dialect) {
	s.stats.posts.Add(1)
	d := &delivery{number: n, dialect: how, at: time.Now()}
	buffer, refused := readBody(w, r)
	defer buffers.Put(buffer)
	var matched *template
	if refused == nil {
		c := &checker{placeholders: n.catalog.acceptUnknown, sandbox: how == sandbox}
		d.send, refused = c.parseSend(buffer.Bytes())
	}
	if refused == nil && d.send.readMark {
		writeJSON(w, http.StatusOK, map[string]bool{"success": true})
		return
	}
	if refused == nil {
		matched, refused = s.checkTemplate(d)
	}
	if refused != nil {
		// What the ledger shows of a request that has no right form.
		if d.send == nil {
			d.send = peek(buffer.Bytes())
		}
		d.verdict.refused = refused
		s.answer(w, r, d)
		return
	}
	s.decide(d, matched)
	if !sleep(r.Context(), s.thinking(d)) {
		// The client gave up before the provider came to a decision.
		s.ledger.add(Entry{At: d.at, To: d.recipient(), Opaque: d.send.opaque, Outcome: "abandoned"})
		return
	}
	s.accept(d, matched)
	s.answer(w, r, d)
}

// peek reads what can be read of a refused request.
func peek(body []byte) *send {
	var p struct {
		To     any `json:"to"`
		Opaque any `json:"biz_opaque_callback_data"`
	}
	_ = json.Unmarshal(body, &p) // nothing readable is nothing shown
	out := &send{}
	out.to, _ = p.To.(string)
	out.opaque, _ = p.Opaque.(string)
	return out
}

func (s *Simulator) recordUnauthorized(w http.ResponseWriter, r *http.Request) {
	s.stats.posts.Add(1)
	buffer, _ := readBody(w, r)
	defer buffers.Put(buffer)
	seen := peek(buffer.Bytes())
	s.ledger.add(Entry{At: time.Now(), To: seen.to, Opaque: seen.opaque, Outcome: "refused:401"})
}

func (s *Simulator) checkTemplate(d *delivery) (*template, *refusal) {
	t := d.send.template
	if t == nil {
		if d.dialect == marketing {
			return nil, refuse(100, "Message must be a template message.")
		}
		return nil, nil
	}
	matched, refused := d.number.catalog.check(t)
	if refused != nil {
		return nil, refused
	}
	if matched != nil && d.dialect == marketing && matched.category != "MARKETING" {
		return nil, refuse(134100, fmt.Sprintf("template name (%s) is of category %s", t.name, matched.category))
	}
	if matched != nil && d.send.to == "" && matched.category == "AUTHENTICATION" {
		return nil, refuse(131062, "Authentication templates cannot be sent to a business-scoped user id.")
	}
	return matched, nil
}

// decide finds the verdict: limits of the moment first, then what the behaviours
// file or the profile has in store for this attempt.
func (s *Simulator) decide(d *delivery, matched *template) {
	n, to := d.number, d.send.to
	if to == "" {
		to = d.send.bsuid
	} else if !d.send.group {
		d.digits = canonical(to, n.code)
		to = d.digits
	}
	if d.digits != "" && d.digits == n.phone {
		d.verdict.refused = refuse(131021, "Recipient phone number cannot be the sender's.")
		return
	}
	if s.profile.inMaintenance(s.config.Seed, n.phoneID, d.at.Sub(s.started)) {
		d.verdict.refused = refuse(131057, "Business Account is in maintenance mode")
		return
	}
	if n.limiter != nil && !n.limiter.AllowN(d.at, 1) {
		d.verdict.refused = refuse(130429, "Cloud API message throughput has been reached.")
		return
	}
	d.person = hash(s.config.Seed, "person", n.phoneID, to)
	if d.send.template == nil && !d.send.group && !n.people.open(d.person, d.at) {
		d.verdict.refused = refuse(131047, "Message failed to send because more than 24 hours have passed since the customer last replied to this number.")
		return
	}
	attempt, ok := n.people.attempt(d.person, d.at, s.profile.limits)
	if !ok {
		d.verdict.refused = refuse(131056, "Too many messages sent from this phone number to the same phone number in a short period of time.")
		return
	}
	d.chance = dice(mix(d.person + uint64(attempt)))
	given, found := (*s.assigned.Load())[d.digits]
	if found && d.digits != "" {
		d.verdict = verdict{word: wordAccepted}
		t := &teller{delays: &s.profile.delays, dice: d.chance}
		if given.times == 0 || attempt <= given.times {
			given.apply(&d.verdict, t)
		} else {
			d.verdict.script = t.arrives(statusRead)
		}
	} else {
		d.verdict = s.profile.decide(d.digits, isMarketing(d.send, matched), dice(d.person), d.chance)
	}
	if d.send.template == nil && d.verdict.word != wordAccepted {
		d.verdict.word = wordAccepted // only templates are held
	}
}

// isMarketing takes a template that is not known for one: it is what campaigns
// send, and the stricter rules apply.
func isMarketing(m *send, matched *template) bool {
	return m.template != nil && (matched == nil || matched.category == "MARKETING")
}

func category(m *send, matched *template) string {
	switch {
	case m.template == nil:
		return "service"
	case matched == nil:
		return "marketing"
	default:
		return strings.ToLower(matched.category)
	}
}

// userID is the recipient's business-scoped id (whatsapp-facts §7.1).
func userID(digits string, person uint64) string {
	country := "ZZ"
	switch callingCode(digits) {
	case "1":
		country = "US"
	case "44":
		country = "GB"
	case "49":
		country = "DE"
	case "55":
		country = "BR"
	case "91":
		country = "IN"
	}
	return country + "." + strconv.FormatUint(person, 10)
}

// thinking is the time until the answer, spread evenly around the latency.
func (s *Simulator) thinking(d *delivery) time.Duration {
	if s.latency == 0 {
		return 0
	}
	roll := dice(mix(uint64(d.chance)))
	return time.Duration(float64(s.latency) * (0.5 + roll.share()))
}

// accept gives a message that is taken its id and sets its statuses going, before
// the answer is written: the first may overtake it.
func (s *Simulator) accept(d *delivery, matched *template) {
	v := &d.verdict
	if v.refused != nil || !v.fault.takes() {
		return
	}
	d.waID = d.digits
	if d.send.group {
		d.waID = d.send.to
	} else if s.profile.odd {
		d.waID = whatsAppID(d.digits)
	}
	d.id = s.messageID(d.waID, d.dialect)
	s.stats.accepted.Add(1)
	if v.word != wordAccepted {
		s.stats.held.Add(1)
	}
	if len(v.script) == 0 {
		return
	}
	if d.number.webhooks.target.Load() == nil {
		// Nobody will hear of it; a whole campaign must not pile up here.
		s.stats.webhooksWithoutTarget.Add(int64(len(v.script)))
		return
	}
	m := &message{
		number: d.number, id: d.id, waID: d.waID, opaque: d.send.opaque, category: category(d.send, matched),
		accepted: time.Now(), hidden: v.hidePhone, script: v.script,
		priced: !slices.ContainsFunc(v.script, func(p step) bool { return p.kind == statusDelivered }),
	}
	if s.profile.odd || v.hidePhone {
		m.userID = userID(d.digits, d.person)
	}
	if d.send.bsuid != "" && d.digits == "" {
		m.userID, m.hidden = d.send.bsuid, true
	}
	sortScript(m.script)
	s.scheduler.add(m)
}

// messageID makes a wamid: base64 of a record with the recipient in it, unique
// also between runs, to be taken as opaque.
func (s *Simulator) messageID(waID string, how dialect) string {
	unique := mix(s.salt ^ mix(s.serial.Add(1)))
	raw := make([]byte, 0, 48)
	raw = append(raw, 0x1c, 0x18, byte(len(waID)))
	raw = append(raw, waID...)
	raw = append(raw, 0x15, 0x02, 0x00, 0x11, 0x18, 0x12)
	raw = fmt.Appendf(raw, "%016X%02X", unique, byte(s.salt))
	raw = append(raw, 0)
	if how == sandbox {
		return "gBGG" + base64.RawURLEncoding.EncodeToString(raw)
	}
	return "wamid." + base64.StdEncoding.EncodeToString(raw)
}

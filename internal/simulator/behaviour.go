package simulator

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Behaviour is a course of events that the behaviours file can ask for by name.
type Behaviour struct {
	Name        string
	Description string // one line, for help texts
}

type behaviour struct {
	Behaviour
	apply func(v *verdict, t *teller)
}

func refusing(code int, reason string) func(*verdict, *teller) {
	return func(v *verdict, _ *teller) { v.refused = refuse(code, reason) }
}

func failing(code int) func(*verdict, *teller) {
	return func(v *verdict, t *teller) { v.script = t.fails(code) }
}

func breaking(f fault) func(*verdict, *teller) {
	return func(v *verdict, t *teller) {
		v.fault = f
		v.script = t.arrives(statusRead)
	}
}

func arriving(last statusKind) func(*verdict, *teller) {
	return func(v *verdict, t *teller) { v.script = t.arrives(last) }
}

// behaviours is the table of names. Every entry replaces what the profile would
// have done with this send.
var behaviours = []behaviour{
	{Behaviour{"ok", "accepted, sent, delivered, read"}, arriving(statusRead)},
	{Behaviour{"delivered", "accepted, sent, delivered, never read"}, arriving(statusDelivered)},
	{Behaviour{"never_delivered", "accepted and sent, then nothing"}, arriving(statusSent)},
	{Behaviour{"read_only", "sent, then read without delivered"}, func(v *verdict, t *teller) {
		s := t.arrives(statusRead)
		v.script = []step{s[0], s[2]}
	}},
	{Behaviour{"no_webhooks", "accepted, and no status ever"}, func(*verdict, *teller) {}},

	{Behaviour{"not_on_whatsapp", "accepted, then failed 131026"}, failing(131026)},
	{Behaviour{"experiment", "accepted, then failed 130472"}, failing(130472)},
	{Behaviour{"capped", "accepted, then failed 131049 (limit of marketing messages per person)"}, failing(131049)},
	{Behaviour{"stopped", "accepted, then failed 131050 (stopped marketing)"}, failing(131050)},
	{Behaviour{"blocked", "accepted, then failed 130403 (blocked the business)"}, failing(130403)},
	{Behaviour{"payment", "accepted, then failed 131042 (billing)"}, failing(131042)},
	{Behaviour{"media_error", "accepted, then failed 131053 (media could not be fetched)"}, failing(131053)},
	{Behaviour{"device_failed", "delivered, then failed 131036 for one of the devices"}, func(v *verdict, t *teller) {
		v.script = t.arrives(statusDelivered)
		v.script = append(v.script, step{kind: statusFailed, code: 131036, after: v.script[1].after + t.dice.in(t.delays.failed)})
	}},
	{Behaviour{"delivered_after_failed", "failed 131026, and delivered all the same"}, func(v *verdict, t *teller) {
		v.script = t.fails(131026)
		v.script = append(v.script, step{kind: statusDelivered, after: v.script[0].after + t.dice.in(t.delays.delivered)})
	}},

	{Behaviour{"held_released", "held for quality assessment, later sent, delivered, read"}, func(v *verdict, t *teller) {
		v.word, v.script = wordHeld, t.later(t.arrives(statusRead))
	}},
	{Behaviour{"held_dropped", "held for quality assessment, later failed 132015"}, func(v *verdict, t *teller) {
		v.word, v.script = wordHeld, t.later(t.fails(132015))
	}},
	{Behaviour{"paused_status", "answered with message_status paused, later sent, delivered, read"}, func(v *verdict, t *teller) {
		v.word, v.script = wordPaused, t.later(t.arrives(statusRead))
	}},

	{Behaviour{"invalid_parameter", "refused 100"}, refusing(100, "Invalid parameter")},
	{Behaviour{"pair_limit", "refused 131056 (too many messages to this person)"}, refusing(131056, "Too many messages sent from this phone number to the same phone number in a short period of time.")},
	{Behaviour{"rate_limit", "refused 130429 (throughput of the number)"}, refusing(130429, "Cloud API message throughput has been reached.")},
	{Behaviour{"spam_limit", "refused 131048 (spam rate limit)"}, refusing(131048, "Message failed to send because there are restrictions on how many messages can be sent from this phone number.")},
	{Behaviour{"template_paused", "refused 132015"}, refusing(132015, "Template is paused due to low quality so it cannot be sent in a template message.")},
	{Behaviour{"template_disabled", "refused 132016"}, refusing(132016, "Template has been paused too many times due to low quality and is now permanently disabled.")},
	{Behaviour{"maintenance", "refused 131057 (throughput upgrade)"}, refusing(131057, "Business Account is in maintenance mode")},
	{Behaviour{"locked", "refused 131031 (account locked)"}, refusing(131031, "Business account has been locked.")},
	{Behaviour{"server_error", "refused 131000 with HTTP 500"}, refusing(131000, "Message failed to send due to an unknown error.")},
	{Behaviour{"unavailable", "refused 131016 with HTTP 500"}, refusing(131016, "Message failed to send because a service is temporarily unavailable.")},

	{Behaviour{"cut_before", "connection cut, the message was not taken"}, breaking(faultCutBefore)},
	{Behaviour{"cut_after", "connection cut, the message was taken and its statuses follow"}, breaking(faultCutAfter)},
	{Behaviour{"slow", "taken, answered only after the slow delay"}, breaking(faultSlow)},
	{Behaviour{"half_answer", "taken, the answer breaks off in the middle"}, breaking(faultHalf)},
	{Behaviour{"empty_502", "HTTP 502 without a body, not taken"}, breaking(faultEmpty502)},
	{Behaviour{"html_504", "HTTP 504 with an HTML body, the message was taken"}, breaking(faultHTML504)},
	{Behaviour{"garbage_200", "HTTP 200 with a body that is not JSON, the message was taken"}, breaking(faultGarbage)},
	{Behaviour{"no_id_200", "HTTP 200 without a message id, the message was taken"}, breaking(faultNoID)},
	{Behaviour{"error_200", "HTTP 200 whose body is the error 131000, not taken"}, breaking(faultError200)},
	{Behaviour{"redirect_307", "HTTP 307 to the same address, not taken"}, breaking(faultRedirect)},
	{Behaviour{"gateway_throttle", "HTTP 400 of the gateway: endpoint rate limit, not taken"}, breaking(faultGateway)},
	{Behaviour{"gateway_500", "HTTP 500 of the gateway, not taken"}, breaking(faultGateway5)},

	{Behaviour{"duplicate_webhooks", "every status is reported twice"}, func(v *verdict, t *teller) {
		v.script = t.twice(t.arrives(statusRead))
	}},
	{Behaviour{"reordered_webhooks", "read is reported first, then delivered, then sent"}, func(v *verdict, t *teller) {
		v.script = t.reversed(t.arrives(statusRead))
	}},
	{Behaviour{"late_webhook", "one status is reported much later"}, func(v *verdict, t *teller) {
		v.script = t.late(t.arrives(statusRead))
	}},
	{Behaviour{"early_webhook", "sent is reported before the answer is given"}, func(v *verdict, t *teller) {
		v.script = t.arrives(statusRead)
		v.script[0].after = 0
	}},
	{Behaviour{"no_phone", "statuses carry a business-scoped user id and no phone number"}, func(v *verdict, t *teller) {
		v.hidePhone, v.script = true, t.arrives(statusRead)
	}},
}

// Behaviours lists the names of the behaviours file with a line on each, in the
// order of help texts. Besides these there are code:NNN, a refusal with that
// code, and async:NNN, an acceptance that fails with it; each name may end in *N
// for the first N sends to the recipient only, later ones are ok.
func Behaviours() []Behaviour {
	list := make([]Behaviour, 0, len(behaviours)+3)
	for _, b := range behaviours {
		list = append(list, b.Behaviour)
	}
	return append(list,
		Behaviour{"code:NNN", "refused with Meta code NNN"},
		Behaviour{"async:NNN", "accepted, then failed with Meta code NNN"},
		Behaviour{"NAME*N", "NAME for the first N sends to this recipient, then ok"},
	)
}

// assigned is a behaviour given to a recipient.
type assigned struct {
	apply func(*verdict, *teller)
	times uint32 // for the first so many attempts; 0: for all
}

// parseBehaviour reads one name; hyphens count as underscores.
func parseBehaviour(word string) (assigned, error) {
	name, count, limited := strings.Cut(strings.ToLower(strings.TrimSpace(word)), "*")
	name = strings.ReplaceAll(strings.TrimSpace(name), "-", "_")
	var a assigned
	if limited {
		n, err := strconv.ParseUint(strings.TrimSpace(count), 10, 31)
		if err != nil || n == 0 {
			return a, fmt.Errorf("behaviour %q: after * a number from 1 on is wanted", word)
		}
		a.times = uint32(n)
	}
	if once, ok := strings.CutSuffix(name, "_once"); ok && !limited {
		name, a.times = once, 1
	}
	for prefix, with := range map[string]func(int) func(*verdict, *teller){
		"code:":  func(code int) func(*verdict, *teller) { return refusing(code, "asked for by the behaviours file") },
		"async:": failing,
	} {
		if number, ok := strings.CutPrefix(name, prefix); ok {
			code, err := strconv.ParseUint(number, 10, 31)
			if err != nil {
				return a, fmt.Errorf("behaviour %q: after %s a Meta error code is wanted", word, prefix)
			}
			a.apply = with(int(code))
			return a, nil
		}
	}
	for _, b := range behaviours {
		if b.Name == name {
			a.apply = b.apply
			return a, nil
		}
	}
	return a, fmt.Errorf("unknown behaviour %q; known are %s, code:NNN and async:NNN, each also with *N", word, behaviourNames())
}

func behaviourNames() string {
	names := make([]string, 0, len(behaviours))
	for _, b := range behaviours {
		names = append(names, b.Name)
	}
	return strings.Join(names, ", ")
}

// readBehaviours reads the CSV phone,behaviour. A header row, empty lines and
// lines that begin with # are passed over. Errors name the line.
func readBehaviours(r io.Reader) (map[string]assigned, error) {
	rows := csv.NewReader(r)
	rows.Comment = '#'
	rows.FieldsPerRecord = -1
	rows.TrimLeadingSpace = true
	list := map[string]assigned{}
	lines := map[string]int{}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := rows.FieldPos(0)
		row[0] = strings.TrimSpace(strings.TrimPrefix(row[0], "\ufeff"))
		if strings.EqualFold(row[0], "phone") {
			continue
		}
		if len(row) != 2 {
			return nil, fmt.Errorf("line %d: two columns are wanted, phone and behaviour, there are %d", line, len(row))
		}
		phone := digitsOf(row[0])
		if (&checker{}).checkPhone(row[0]) != nil {
			return nil, fmt.Errorf("line %d: the first column is not a phone number", line)
		}
		if lines[phone] > 0 {
			return nil, fmt.Errorf("line %d: this phone number has a behaviour already, in line %d", line, lines[phone])
		}
		a, err := parseBehaviour(row[1])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		list[phone], lines[phone] = a, line
	}
}

package dialog360_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/campaignd/campaignd/internal/dialog360"
)

func wamid(digits string) string {
	return "wamid." + base64.StdEncoding.EncodeToString([]byte("\x1c\x18"+string(rune(len(digits)))+digits+"\x15\x02\x00\x11\x18\x12ABCDEF0123456789\x00"))
}

func TestEraseTakesOnePersonOut(t *testing.T) {
	t.Parallel()
	const theirs, other = "491701234567", "491709999999"
	status := func(digits, extra string) string {
		return `{"id":"` + wamid(digits) + `","status":"read","timestamp":"1700000000"` + extra + `}`
	}
	value := func(parts string) string {
		return `{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"metadata":{"phone_number_id":"7"},` + parts + `}}]}]}`
	}
	for name, c := range map[string]struct {
		body       string
		keeps      []string
		changed    bool
		lacksWords []string
	}{
		"StatusAmongOthers": {body: value(`"statuses":[` + status(theirs, `,"recipient_id":"`+theirs+`"`) + `,` + status(other, `,"recipient_id":"`+other+`"`) + `]`),
			keeps: []string{other, wamid(other), `"phone_number_id":"7"`}, changed: true},
		"HiddenNumber": {body: value(`"statuses":[` + status(theirs, ``) + `]`), changed: true, keeps: []string{`"statuses":[]`}},
		"UserID": {body: value(`"statuses":[{"id":"x","timestamp":"1","recipient_user_id":"DE.77"}],"contacts":[{"profile":{"name":"Ann"},"user_id":"DE.77"},{"user_id":"DE.78"}]`),
			changed: true, keeps: []string{"DE.78"}, lacksWords: []string{"DE.77\"", "Ann"}},
		"Inbound": {body: value(`"contacts":[{"profile":{"name":"Ann"},"wa_id":"` + theirs + `"}],"messages":[{"from":"` + theirs + `","id":"` + wamid(theirs) +
			`","timestamp":"1","type":"text","text":{"body":"call me"}}]`), changed: true, lacksWords: []string{"Ann", "call me"}},
		"SharedByAnother": {body: value(`"messages":[{"from":"` + other + `","id":"x","timestamp":"1","type":"contacts","contacts":[{"phones":[{"phone":"+49 170 1234-567"}]}]}]`),
			changed: true, lacksWords: []string{"1234-567"}},
		"Preference":     {body: value(`"user_preferences":[{"wa_id":"` + theirs + `","value":"stop","timestamp":1}]`), changed: true},
		"AsANumber":      {body: `{"phone":` + theirs + `,"a":1}`, changed: true, keeps: []string{`"a":1`}},
		"AsAKey":         {body: `{"people":{"` + theirs + `":{"x":1}}}`, changed: true},
		"NotJSON":        {body: `{"wa_id":"` + theirs, changed: true},
		"Others":         {body: value(`"statuses":[` + status(other, ``) + `]`), keeps: []string{wamid(other)}},
		"PartOfALonger":  {body: `{"id":"1` + theirs + `","x":"` + theirs + `8"}`, keeps: []string{theirs + "8"}},
		"NothingAtAll":   {body: `{}`},
		"BusinessNumber": {body: value(`"statuses":[` + status(other, ``) + `],"note":"+49 170 1234567"`), changed: true, keeps: []string{wamid(other)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			traces := dialog360.NewTraces([]string{"+" + theirs}, []string{"DE.77"})
			got, changed := traces.Erase([]byte(c.body))
			if changed != c.changed || !json.Valid(got) && c.changed {
				t.Fatalf("changed %v: %s", changed, got)
			}
			for _, want := range c.keeps {
				if !strings.Contains(string(got), want) {
					t.Errorf("%s is gone: %s", want, got)
				}
			}
			if !c.changed {
				return
			}
			for _, word := range append(c.lacksWords, theirs, wamid(theirs), base64.StdEncoding.EncodeToString([]byte(theirs))[:12]) {
				if strings.Contains(string(got), word) {
					t.Errorf("%s is still there: %s", word, got)
				}
			}
		})
	}
}

// Wherever a number begins in a record, its base64 is found.
func TestTracesKnowANumberInBase64(t *testing.T) {
	t.Parallel()
	traces := dialog360.NewTraces([]string{"+491701234567"}, nil)
	for before := range 7 {
		for after := range 4 {
			id := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", before) + "491701234567" + strings.Repeat("\xff", after)))
			if !traces.In("wamid." + id) {
				t.Errorf("not found behind %d bytes and before %d: %s", before, after, id)
			}
		}
	}
}

// Numbers that share all but their ends with a person's are other people's,
// wherever they stand: as digits, in message ids, in what is left of them.
func TestTracesKnowNeighboursApart(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"1204234000", "49170123456", "491511238400", "4915112384009"} {
		for last := range 10 {
			number := fmt.Sprint(base, last)
			traces := dialog360.NewTraces([]string{"+" + number}, nil)
			if !traces.In(wamid(number)) || !traces.In("+"+number) || !traces.In("7 and 12 "+number) {
				t.Errorf("%s is not found", number)
			}
			neighbours := []string{base, number + "0", number + "12", "1" + number, "49" + number}
			for other := range 10 {
				if other != last {
					neighbours = append(neighbours, fmt.Sprint(base, other))
				}
			}
			var ids []string
			for _, digits := range neighbours {
				for _, text := range []string{digits, "+" + digits, "00" + digits, wamid(digits), strings.TrimRight(wamid(digits), "=")} {
					if traces.In(text) {
						t.Errorf("%s was taken for %s", text, number)
					}
				}
				for before := range 4 {
					if id := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", before) + digits + "\xff")); traces.In(id) {
						t.Errorf("%s behind %d bytes was taken for %s", digits, before, number)
					}
				}
				ids = append(ids, `{"id":"`+wamid(digits)+`","timestamp":"1","recipient_id":"`+digits+`"}`)
			}
			body := `{"statuses":[` + strings.Join(ids, ",") + `]}`
			if got, changed := traces.Erase([]byte(body)); changed {
				t.Errorf("%s: neighbours were erased: %s", number, got)
			}
			// Of the id, as much as holds the last digit names the person.
			id := wamid(number)
			whole := len("wamid.") + ((3+len(number))*8+5)/6
			for end := whole - 2; end < whole+4; end++ {
				if got := traces.In(id[:end]); got != (end >= whole) {
					t.Errorf("%s in %s: %v", number, id[:end], got)
				}
			}
		}
	}
}

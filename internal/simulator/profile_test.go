package simulator

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"testing"
	"time"
)

// verdicts are what a profile has in store for n people of a country.
func verdicts(t *testing.T, name string, seed uint64, prefix string, n int) []verdict {
	t.Helper()
	p, err := newProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]verdict, n)
	for i := range list {
		digits := fmt.Sprintf("%s%07d", prefix, i)
		person := hash(seed, "person", "1", digits)
		list[i] = p.decide(digits, true, dice(person), dice(mix(person+1)))
	}
	return list
}

func describe(v verdict) string {
	s := string(v.fault) + v.word
	if v.refused != nil {
		s += fmt.Sprint(v.refused.code)
	}
	return s + fmt.Sprint(v.script, v.hidePhone)
}

func TestVerdictsFollowFromTheSeed(t *testing.T) {
	t.Parallel()

	for _, name := range Profiles() {
		a, b := verdicts(t, name, 7, "49170", 2000), verdicts(t, name, 7, "49170", 2000)
		c := verdicts(t, name, 8, "49170", 2000)
		same := 0
		for i := range a {
			if describe(a[i]) != describe(b[i]) {
				t.Fatalf("%s: the same seed gave two verdicts", name)
			}
			if describe(a[i]) == describe(c[i]) {
				same++
			}
		}
		if same > 1000 {
			t.Errorf("%s: another seed gave the same %d of 2000 verdicts", name, same)
		}
	}
}

func TestProfilesMeetWhatTheyPromise(t *testing.T) {
	t.Parallel()

	count := func(list []verdict, of func(verdict) bool) int {
		n := 0
		for _, v := range list {
			if of(v) {
				n++
			}
		}
		return n
	}
	failing := func(code int32) func(verdict) bool {
		return func(v verdict) bool {
			return slices.ContainsFunc(v.script, func(s step) bool { return s.kind == statusFailed && s.code == code })
		}
	}
	has := func(k statusKind) func(verdict) bool {
		return func(v verdict) bool {
			return slices.ContainsFunc(v.script, func(s step) bool { return s.kind == k })
		}
	}

	clean := verdicts(t, Clean, 1, "49170", 1000)
	if n := count(clean, has(statusRead)); n != 1000 {
		t.Errorf("clean: %d of 1000 are read", n)
	}
	const n = 20_000
	germany, india, us, canada := verdicts(t, Realistic, 1, "49170", n), verdicts(t, Realistic, 1, "91981", n), verdicts(t, Realistic, 1, "1212", n), verdicts(t, Realistic, 1, "1416", n)
	if got := count(germany, failing(131049)); got != 0 {
		t.Errorf("%d Germans are capped, there is no cap in the EEA", got)
	}
	if got := count(india, failing(131049)); got < n/100 || got > n/25 {
		t.Errorf("%d of %d Indians are capped", got, n)
	}
	if got := count(us, failing(131049)) + count(us, failing(131026)) + count(us, failing(132015)); got != n {
		t.Errorf("%d of %d US numbers are refused marketing", got, n)
	}
	if got := count(canada, failing(131049)); got > n/25 {
		t.Errorf("%d of %d Canadians are capped", got, n)
	}
	for code, least := range map[int32]int{131026: n / 100, 130472: n / 500, 131050: n / 1000} {
		if got := count(germany, failing(code)); got < least || got > n/20 {
			t.Errorf("%d of %d fail with %d", got, n, code)
		}
	}
	if got := count(germany, has(statusRead)); got < n/2 || got > 2*n/3 {
		t.Errorf("%d of %d are read", got, n)
	}
	if got := count(germany, func(v verdict) bool { return v.fault != faultNone || v.refused != nil }); got != 0 {
		t.Errorf("the realistic profile has %d faults", got)
	}

	hostile := verdicts(t, Hostile, 1, "91981", n)
	for _, f := range hostileFaults {
		if got := count(hostile, func(v verdict) bool { return v.fault == f }); got < n/1000 {
			t.Errorf("hostile: %d of %d meet %s", got, n, f)
		}
	}
	for _, code := range hostileRefusals {
		if got := count(hostile, func(v verdict) bool { return v.refused != nil && v.refused.code == code }); got < n/1000 {
			t.Errorf("hostile: %d of %d are refused %d", got, n, code)
		}
	}
}

func TestMaintenanceWindowsAreShortAndComeAgain(t *testing.T) {
	t.Parallel()

	p, err := newProfile(Hostile)
	if err != nil {
		t.Fatal(err)
	}
	in := time.Duration(0)
	for at := time.Duration(0); at < 10*maintenancePeriod; at += 100 * time.Millisecond {
		if p.inMaintenance(1, "1", at) {
			in += 100 * time.Millisecond
		}
	}
	if want := 10 * maintenanceLength; in < want-time.Second || in > want+time.Second {
		t.Errorf("%v of maintenance in ten periods, want %v", in, want)
	}
}

func TestNumberOverItsRateIsRefused(t *testing.T) {
	t.Parallel()

	s := start(t, Config{Rate: 5})
	refused := 0
	for i := range 20 {
		status, body, _ := call(t, "POST", s.URL()+"/messages", "", sendTo(fmt.Sprintf("+4917012345%02d", i), ""))
		if status == 400 && codeOf(body) == 130429 {
			refused++
		}
	}
	if refused == 0 || refused > 15 {
		t.Errorf("%d of 20 were refused, 5 are allowed at once", refused)
	}
}

func TestPairRateLimit(t *testing.T) {
	t.Parallel()

	var p people
	now := time.Unix(1_800_000_000, 0)
	for i := range pairBurst {
		if n, ok := p.attempt(1, now, true); !ok || n != uint32(i+1) {
			t.Fatalf("attempt %d: %d, %v", i, n, ok)
		}
	}
	if n, ok := p.attempt(1, now, true); ok || n != pairBurst {
		t.Errorf("the burst has no end: %d, %v", n, ok)
	}
	if _, ok := p.attempt(2, now, true); !ok {
		t.Error("another person is refused")
	}
	if _, ok := p.attempt(1, now.Add(pairInterval), true); !ok {
		t.Error("refused after the interval")
	}
	if _, ok := p.attempt(1, now.Add(pairInterval), true); ok {
		t.Error("two were let through after one interval")
	}
	if _, ok := p.attempt(1, now, false); !ok {
		t.Error("refused without a limit")
	}
}

func TestPhoneNumbers(t *testing.T) {
	t.Parallel()

	for in, want := range map[string]string{
		"5531987654321": "553187654321",  // Minas Gerais: without the ninth digit
		"5511987654321": "5511987654321", // São Paulo keeps it
		"553132345678":  "553132345678",
		"525512345678":  "5215512345678",
		"491701234567":  "491701234567",
	} {
		if got := whatsAppID(in); got != want {
			t.Errorf("whatsAppID(%s) = %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]bool{
		"12125550100": true, "13575550100": true, "14165550100": false, "17875550100": false, "18765550100": false, "491701234567": false, "16715550100": false,
	} {
		if isUnitedStates(in) != want {
			t.Errorf("isUnitedStates(%s) = %v", in, !want)
		}
	}
	for in, want := range map[string]string{"12125550100": "1", "79161234567": "7", "491701234567": "49", "351912345678": "351", "": ""} {
		if got := callingCode(in); got != want {
			t.Errorf("callingCode(%s) = %s, want %s", in, got, want)
		}
	}
	// whatsapp-facts §0, trap 5: a sender in India.
	if got := canonical("1 (631) 555-1234", "91"); got != "9116315551234" {
		t.Errorf("without a plus sign: %s", got)
	}
	if got := canonical("+1 (631) 555-1234", "91"); got != "16315551234" {
		t.Errorf("with a plus sign: %s", got)
	}
}

func TestRealisticWebhooksComeInUnevenBatches(t *testing.T) {
	t.Parallel()

	target := newReceiver(t)
	s := start(t, Config{WebhookURL: target.URL, Profile: Realistic, Seed: 3, Pace: 0.001, Rate: -1, Latency: time.Millisecond})
	for i := range 400 {
		if status, body, err := call(t, "POST", s.URL()+"/messages", "", sendTo(fmt.Sprintf("+49170123%04d", i), fmt.Sprint(i))); status != 200 {
			t.Fatal(status, body, err)
		}
	}
	eventually(t, "an empty backlog", func() bool { return s.Stats().WebhooksWaiting == 0 })
	target.mu.Lock()
	defer target.mu.Unlock()
	words, users, twice := map[string]int{}, 0, map[[2]string]int{}
	for _, r := range target.statuses {
		words[r.Status]++
		if r.Recipient == "" && r.User != "" {
			users++
		}
		twice[[2]string{r.ID, r.Status}]++
	}
	repeated := 0
	for _, n := range twice {
		if n > 1 {
			repeated++
		}
	}
	if words["sent"] < 300 || words["read"] < 100 || words["failed"] == 0 || users == 0 || repeated == 0 {
		t.Errorf("statuses %v, %d without a phone number, %d repeated", words, users, repeated)
	}
	if target.largest < 2 || !target.nested {
		t.Errorf("largest request has %d statuses, several changes: %v", target.largest, target.nested)
	}
}

func TestMediaIsUploadedReadAndDeleted(t *testing.T) {
	t.Parallel()

	s := start(t, Config{Key: "k"})
	upload := func(product, mimeType string, content []byte) (int, map[string]any) {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		_ = form.WriteField("messaging_product", product)
		part, _ := form.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {`form-data; name="file"; filename="a.png"`}, "Content-Type": {mimeType},
		})
		_, _ = part.Write(content)
		_ = form.Close()
		request, _ := http.NewRequest("POST", s.URL()+"/media", &body)
		request.Header.Set(keyHeader, "k")
		request.Header.Set("Content-Type", form.FormDataContentType())
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		raw, _ := io.ReadAll(answer.Body)
		id := map[string]any{}
		if i := bytes.Index(raw, []byte(`"id":"`)); i >= 0 {
			id["id"] = string(raw[i+6 : bytes.LastIndexByte(raw, '"')])
		}
		return answer.StatusCode, id
	}
	status, body := upload("whatsapp", "image/png", []byte("picture"))
	id, _ := body["id"].(string)
	if status != 200 || id == "" {
		t.Fatal(status, body)
	}
	status, body, _ = call(t, "GET", s.URL()+"/"+id, "k", "")
	if status != 200 || body["mime_type"] != "image/png" || body["file_size"] != 7.0 || body["id"] != id {
		t.Errorf("%d %v", status, body)
	}
	if status, body, _ = call(t, "DELETE", s.URL()+"/"+id, "k", ""); status != 200 || body["success"] != true {
		t.Errorf("%d %v", status, body)
	}
	if status, body, _ = call(t, "GET", s.URL()+"/"+id, "k", ""); status != 400 || codeOf(body) != 100 {
		t.Errorf("%d %v", status, body)
	}
	for _, bad := range [][2]string{{"telegram", "image/png"}, {"whatsapp", "image/tiff"}} {
		if status, _ := upload(bad[0], bad[1], []byte("x")); status != 400 {
			t.Errorf("%v: %d", bad, status)
		}
	}
	if status, _ := upload("whatsapp", "image/png", make([]byte, 5<<20+1)); status != 400 {
		t.Errorf("too large: %d", status)
	}
}

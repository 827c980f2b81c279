package dialog360

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/campaignd/campaignd/internal/campaign"
)

// TestExplainHTTP: each body shape of whatsapp-facts §4.3 and the gateway's
// texts of §4.4.
func TestExplainHTTP(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		status     int
		body       string
		code       string
		class      campaign.Class
		recognised bool
		details    string
	}{
		"Meta": {400, `{"error":{"message":"(#130429) Rate limit hit","type":"OAuthException","code":130429,"error_data":{"messaging_product":"whatsapp","details":"reached"},"fbtrace_id":"A"}}`,
			"130429", campaign.SlowDown, true, "reached"},
		"MetaInsideDetail": {400, `{"detail":{"error":{"message":"(#100) Invalid parameter","code":100,"error_data":{"details":"must be a template"}}}}`,
			"100", campaign.Final, true, "must be a template"},
		"CodeWinsOverTextAndStatus": {500, `{"error":{"message":"Internal server error, too many requests","code":131026}}`,
			"131026", campaign.Final, true, "Internal server error, too many requests"},
		"CodeAsText":           {0, `{"error":{"code":"131042","message":"x"}}`, "131042", campaign.PauseAccount, true, "x"},
		"CodeWithFraction":     {0, `{"error":{"code":131042.0}}`, "131042", campaign.PauseAccount, true, ""},
		"CodeInMessageOnly":    {400, `{"error":{"message":"(#131031) Business Account locked"}}`, "131031", campaign.PauseAccount, true, "(#131031) Business Account locked"},
		"CodeIsAWord":          {401, `{"error":{"code":"bad_key","message":"Invalid API key"}}`, "d360_invalid_key", campaign.PauseChannel, true, "Invalid API key"},
		"ErrorDataIsAString":   {400, `{"error":{"code":100,"message":"Invalid parameter","error_data":"name taken"}}`, "100", campaign.Final, true, "name taken"},
		"SubcodeOnly":          {400, `{"error":{"error_subcode":2494055,"message":"x"}}`, "130429", campaign.SlowDown, true, "x"},
		"SubcodeOfMaintenance": {400, `{"error":{"code":100,"error_subcode":2494100}}`, "100", campaign.RetryClass, true, ""},
		"UnknownCode4xx":       {400, `{"error":{"code":136024,"message":"x"}}`, "136024", campaign.Final, true, "x"},
		"UnknownCode5xx":       {500, `{"error":{"code":136024,"message":"x"}}`, "136024", campaign.RetryClass, true, "x"},
		"CodeIsTheStatusAgain": {400, `{"code":400,"error":{"code":400,"message":"Missing messaging_product"}}`, "400", campaign.Final, true, "Missing messaging_product"},
		"Code429":              {429, `{"error":{"code":429,"message":"slow"}}`, "429", campaign.SlowDown, true, "slow"},
		"Code401":              {401, `{"error":{"code":401,"message":"no"}}`, "401", campaign.PauseChannel, true, "no"},
		"MessageAndNoCode":     {0, `{"error":{"message":"Internal Server Error"}}`, "http_500", campaign.RetryClass, true, "Internal Server Error"},

		"ErrorString":        {401, `{"error":"Invalid api token."}`, "d360_invalid_key", campaign.PauseChannel, true, "Invalid api token."},
		"ErrorStringUnknown": {418, `{"error":"no tea"}`, "http_418", campaign.Final, true, "no tea"},
		"ErrorTwiceEncoded":  {400, `{"error":"{\"error\":{\"code\":131048,\"message\":\"spam\"}}"}`, "131048", campaign.PauseChannel, true, "spam"},
		"MetaSnake": {400, `{"meta":{"success":false,"http_code":400,"developer_message":"Bad request","details":["url: must be https","x"]}}`,
			"http_400", campaign.Final, true, "Bad request: url: must be https; x"},
		"MetaCamel":        {0, `{"meta":{"httpCode":400,"developerMessage":"Your WhatsApp for Business API has been disabled.","success":false}}`, "d360_disabled", campaign.PauseChannel, true, "Your WhatsApp for Business API has been disabled."},
		"Key401SaysIts404": {401, `{"meta":{"httpCode":404,"developerMessage":"Invalid api_key or token expired","success":false}}`, "d360_invalid_key", campaign.PauseChannel, true, "Invalid api_key or token expired"},
		"InvalidAPIKey":    {401, `{"meta":{"http_code":401,"developer_message":"Invalid API key"}}`, "d360_invalid_key", campaign.PauseChannel, true, "Invalid API key"},
		"EndpointLimit":    {400, `{"meta":{"http_code":400,"developer_message":"You have exceeded the endpoint rate limit"}}`, "d360_rate_limit", campaign.SlowDown, true, "You have exceeded the endpoint rate limit"},
		"EveryNSeconds":    {400, `{"error":"exceeded the limit of 1 request every 30 seconds"}`, "d360_rate_limit", campaign.SlowDown, true, "exceeded the limit of 1 request every 30 seconds"},
		"Billing":          {400, `{"error":"Access restricted due to lack of payment of overdue invoices"}`, "d360_billing", campaign.PauseAccount, true, "Access restricted due to lack of payment of overdue invoices"},
		"Blocked":          {403, `{"error":"This endpoint is blocked"}`, "d360_blocked", campaign.Final, true, "This endpoint is blocked"},
		"OnPremise":        {400, `{"errors":[{"code":1013,"title":"User is not valid","details":"unknown","href":"h"}],"meta":{"api_status":"stable"}}`, "1013", campaign.Final, true, "unknown"},
		"OnPremise400":     {400, `{"errors":[{"code":400}]}`, "400", campaign.Final, true, ""},
		"OnPremise404":     {404, `{"errors":[{"code":404}]}`, "404", campaign.PauseTemplate, true, ""},
		"NotFound":         {404, `{"error":{"code":404,"message":"no such path"}}`, "404", campaign.Final, true, "no such path"},
		"ErrorsFirstUsable": {400, `{"errors":[null,4,{},{"code":"131050","title":"stopped"}]}`,
			"131050", campaign.Final, true, "stopped"},
		"OKWithError": {200, `{"error":{"code":131042,"message":"pay"}}`, "131042", campaign.PauseAccount, true, "pay"},

		"DetailString":      {502, `{"detail":"upstream error"}`, "http_502", campaign.RetryClass, false, "upstream error"},
		"DetailArray":       {422, `{"detail":[{"loc":["body","to"],"msg":"field required"}]}`, "http_422", campaign.Final, false, "field required"},
		"TimeoutIsNone":     {504, `{"error":"Gateway Timeout"}`, "http_504", campaign.RetryClass, false, "Gateway Timeout"},
		"BadGatewayIsNot":   {502, `{"error":{"message":"Bad Gateway"}}`, "http_502", campaign.RetryClass, false, "Bad Gateway"},
		"HTML":              {502, "<html><title>502 Bad Gateway</title></html>", "http_502", campaign.RetryClass, false, ""},
		"HTMLNoStatus":      {0, "<html><title>503 Service Unavailable</title></html>", "http_503", campaign.RetryClass, false, ""},
		"Empty500":          {500, "", "http_500", campaign.RetryClass, false, ""},
		"Empty503":          {503, "", "http_503", campaign.RetryClass, false, ""},
		"Empty429":          {429, "", "http_429", campaign.SlowDown, false, ""},
		"Empty401":          {401, "", "http_401", campaign.PauseChannel, false, ""},
		"Empty402":          {402, "", "http_402", campaign.PauseAccount, false, ""},
		"Empty404":          {404, "", "http_404", campaign.Final, false, ""},
		"Empty408":          {408, "", "http_408", campaign.Final, false, ""},
		"Empty507":          {507, "", "http_507", campaign.RetryClass, false, ""},
		"Redirect":          {307, "", "http_307", campaign.PauseChannel, false, ""},
		"NothingKnown":      {0, "", "unknown", campaign.Final, false, ""},
		"EmptyObjects":      {500, `{"error":{},"errors":[],"meta":{},"detail":null}`, "http_500", campaign.RetryClass, false, ""},
		"Scalar":            {400, `42`, "http_400", campaign.Final, false, ""},
		"OKWithSuccessMeta": {200, `{"meta":{"success":true,"http_code":200,"developer_message":"done"}}`, "http_200", campaign.Final, false, ""},
		"OKWithNothing":     {200, `{"messages":[]}`, "http_200", campaign.Final, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f, recognised := ExplainHTTP(c.status, []byte(c.body))
			if f.Code != c.code || f.Class != c.class || recognised != c.recognised {
				t.Errorf("code %q, class %s, recognised %v; want %q, %s, %v", f.Code, f.Class, recognised, c.code, c.class, c.recognised)
			}
			if f.Details != c.details {
				t.Errorf("details %q, want %q", f.Details, c.details)
			}
			if c.status != 0 && f.HTTP != c.status {
				t.Errorf("HTTP is %d, want %d", f.HTTP, c.status)
			}
		})
	}
}

func TestExplainHTTPSaysWhenNothingFailed(t *testing.T) {
	t.Parallel()

	body := []byte(`{"messages":[{"id":"wamid.1","message_status":"accepted"}]}`)
	for _, status := range []int{0, 200, 201} {
		if f, recognised := ExplainHTTP(status, body); f.Class != "" || f.Code != "" || recognised {
			t.Errorf("%d: a success is %+v, recognised %v", status, f, recognised)
		}
	}
	if f, _ := ExplainHTTP(500, body); f.Class != campaign.RetryClass {
		t.Errorf("a message id under 500 is %+v; success is 2xx only", f)
	}
	if f, _ := ExplainHTTP(200, []byte(`{"messages":[{"id":""}]}`)); f.Class == "" {
		t.Error("an empty message id is taken for a success")
	}
}

// TestInDoubt is design §4.6.
func TestInDoubt(t *testing.T) {
	t.Parallel()

	for status, want := range map[int]bool{
		200: true, 204: true, 301: false, 307: false, 400: false, 401: false, 404: false, 408: true, 429: false,
		500: true, 502: true, 503: false, 504: true, 507: true,
	} {
		if got := InDoubt(status, false); got != want {
			t.Errorf("%d without an error body: in doubt is %v, want %v", status, got, want)
		}
		if InDoubt(status, true) {
			t.Errorf("%d with an error body is in doubt", status)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()

	now := time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		header, body string
		want         time.Duration
	}{
		{"", "", 0},
		{"7", "", 7 * time.Second},
		{" 1.5 ", "", 1500 * time.Millisecond},
		{"-3", "", 0},
		{"99999999999", "", 24 * time.Hour},
		{"soon", "", 0},
		{"NaN", "", 0},
		{"Wed, 01 Apr 2026 09:02:00 GMT", "", 2 * time.Minute},
		{"Wed, 01 Apr 2026 08:00:00 GMT", "", 0},
		{"", `{"error":"limit of 1 request every 60 seconds"}`, time.Minute},
		{"", `{"meta":{"developer_message":"limit of 1 request every 5 seconds"}}`, 5 * time.Second},
		{"", `{"error":{"message":"Try again in 2 minutes"}}`, 2 * time.Minute},
		{"3", `{"error":"limit of 1 request every 60 seconds"}`, 3 * time.Second},
	} {
		h := http.Header{}
		if c.header != "" {
			h.Set("Retry-After", c.header)
		}
		if got := RetryAfter(h, []byte(c.body), now); got != c.want {
			t.Errorf("Retry-After %q, body %s: %v, want %v", c.header, c.body, got, c.want)
		}
	}
	for body, want := range map[string]time.Duration{
		`{"error":"limit of 1 request every 60 seconds"}`: time.Minute,
		`{"error":"endpoint rate limit exceeded"}`:        5 * time.Second,
	} {
		f, _ := ExplainHTTP(400, []byte(body))
		if got := f.Retry.After(1, 0); got < want {
			t.Errorf("%s waits %v, want %v at least", body, got, want)
		}
	}
}

func TestExplanationJSON(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		failure campaign.Failure
		want    string
	}{
		{Explain(131057), `{"code":131057,"maps_to":null,"title":"number in maintenance","class":"pause_channel","scope":"channel","operator":false,"advice":"…","http":500}`},
		{Explain(470), `{"code":470,"maps_to":131047,"title":"more than 24 hours since the last reply","class":"final","scope":"recipient","operator":true,"advice":"…","http":400}`},
		{httpFailure(504), `{"code":"http_504","maps_to":null,"title":"gateway timed out","class":"retry","scope":"channel","operator":false,"advice":"…","http":504}`},
		{Explain(7), `{"code":7,"maps_to":null,"title":"unknown error","class":"final","scope":"request","operator":true,"advice":"…","http":null}`},
		{campaign.Failure{Title: "no error"}, `{"code":null,"maps_to":null,"title":"no error","class":null,"scope":null,"operator":false,"advice":"…","http":null}`},
	} {
		c.failure.Advice = "…"
		got, err := json.Marshal(Explanation(c.failure))
		if err != nil || string(got) != c.want {
			t.Errorf("%s, %v; want %s", got, err, c.want)
		}
	}
}

func FuzzExplainHTTP(f *testing.F) {
	f.Add(400, []byte(`{"error":{"code":131049,"error_data":{"details":"x"}}}`))
	f.Add(200, []byte(`{"detail":{"error":{"error":{"error":{}}}}}`))
	f.Add(0, []byte(`{"meta":{"httpCode":500,"developerMessage":"limit of 1 request every 99999 hours"}}`))
	f.Add(502, []byte(`<html>`))
	f.Add(0, []byte(`[{"errors":["a",{"code":1e300,"details":["x"]}]}]`))
	f.Add(0, []byte(`{"messages":[{"id":1}],"error":"{\"error\":\"{}\"}"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		failure, recognised := ExplainHTTP(status, body)
		if failure.Class == "" && (recognised || readProblem(body).accepted == false) {
			t.Fatalf("no class: %+v", failure)
		}
		if failure.Class != "" && (failure.Code == "" || failure.Title == "" || failure.Scope == "") {
			t.Fatalf("not whole: %+v", failure)
		}
		for _, s := range []string{failure.Code, failure.Details} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				t.Fatalf("%q would be refused by the database", s)
			}
		}
		if utf8.RuneCountInString(failure.Details) > detailsLimit+1 {
			t.Fatalf("%d runes of details", utf8.RuneCountInString(failure.Details))
		}
		if gap := RetryAfter(http.Header{}, body, time.Now()); gap < 0 || gap > maxDelay {
			t.Fatalf("wait %v", gap)
		}
		if _, err := json.Marshal(Explanation(failure)); err != nil {
			t.Fatal(err)
		}
	})
}

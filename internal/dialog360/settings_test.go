package dialog360_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
)

// settings is a server of the endpoints beside /messages; each wants the key.
func settings(t *testing.T, routes map[string]http.HandlerFunc) (*dialog360.Client, string) {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, handler := range routes {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("D360-API-KEY") != testKey {
				t.Errorf("%s without the key", r.URL.Path)
			}
			handler(w, r)
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return newClient(t, dialog360.Config{BaseURL: server.URL}), server.URL
}

func templateNamed(name string) string {
	return fmt.Sprintf(`{"name":%q,"language":"en","status":"APPROVED","category":"UTILITY","components":[{"type":"BODY","text":"Hi"}]}`, name)
}

func names(templates []campaign.Template) string {
	var all []string
	for _, t := range templates {
		all = append(all, t.Name)
	}
	return strings.Join(all, " ")
}

// providerError wants an error with a meaning and nothing secret.
func providerError(t *testing.T, err error, want string) {
	t.Helper()
	var meaning *campaign.Error
	if !errors.Is(err, campaign.ErrProvider) || !errors.As(err, &meaning) {
		t.Fatalf("error %v, want the provider's", err)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error %q, want it to contain %q", err, want)
	}
	if meaning.Hint == "" {
		t.Error("no hint")
	}
	if strings.Contains(err.Error()+meaning.Hint, testKey) {
		t.Errorf("error %v holds the key", err)
	}
}

func TestTemplatesReadsEveryPage(t *testing.T) {
	t.Parallel()

	client, _ := settings(t, map[string]http.HandlerFunc{"GET /message_templates": func(w http.ResponseWriter, r *http.Request) {
		switch after := r.URL.Query().Get("after"); after {
		case "":
			// next leads to another host, which must not be followed.
			fmt.Fprintf(w, `{"data":[%s,%s],"paging":{"cursors":{"before":"x","after":"c1"},"next":"https://graph.example/next?after=c1"}}`, templateNamed("a"), templateNamed("b"))
		case "c1":
			fmt.Fprintf(w, `{"data":[%s],"paging":{"next":"https://graph.example/next?limit=2&after=c2"}}`, templateNamed("c"))
		case "c2":
			// The last page has cursors, too.
			fmt.Fprintf(w, `{"data":[%s],"paging":{"cursors":{"before":"c1","after":"c3"}}}`, templateNamed("d"))
		default:
			t.Errorf("asked for %q", after)
		}
	}})
	templates, err := client.Templates(t.Context())
	if err != nil || names(templates) != "a b c d" {
		t.Errorf("templates %s, error %v", names(templates), err)
	}
}

func TestTemplatesStopsWhenPagesGoRound(t *testing.T) {
	t.Parallel()

	var pages atomic.Int32
	client, _ := settings(t, map[string]http.HandlerFunc{"GET /message_templates": func(w http.ResponseWriter, r *http.Request) {
		pages.Add(1)
		fmt.Fprintf(w, `{"data":[%s],"paging":{"cursors":{"after":"c1"},"next":"https://graph.example/?after=c1"}}`, templateNamed("a"))
	}})
	_, err := client.Templates(t.Context())
	providerError(t, err, "do not end")
	if pages.Load() != 2 {
		t.Errorf("%d pages", pages.Load())
	}
}

func TestTemplatesFallsBackToTheOlderList(t *testing.T) {
	t.Parallel()

	client, _ := settings(t, map[string]http.HandlerFunc{"GET /v1/configs/templates": func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("offset") {
		case "0":
			fmt.Fprintf(w, `{"count":2,"total":3,"waba_templates":[%s,%s]}`, templateNamed("a"), templateNamed("b"))
		case "2":
			fmt.Fprintf(w, `{"count":1,"total":3,"waba_templates":[%s]}`, templateNamed("c"))
		default:
			t.Errorf("asked for %s", r.URL.RawQuery)
		}
	}})
	templates, err := client.Templates(t.Context())
	if err != nil || names(templates) != "a b c" {
		t.Errorf("templates %s, error %v", names(templates), err)
	}
}

func TestTemplatesErrors(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		status     int
		body, want string
	}{
		"BadKey":   {401, `{"meta":{"success":false,"http_code":404,"developer_message":"Invalid api token"}}`, "HTTP 401"},
		"HTML":     {200, `<html>`, "not JSON"},
		"NoList":   {200, `{"success":true}`, "no template found"},
		"Redirect": {307, ``, "HTTP 307"},
		"Error200": {200, `{"error":{"code":190,"message":"token"}}`, "HTTP 200"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			client, _ := settings(t, map[string]http.HandlerFunc{"GET /message_templates": func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "https://graph.example/")
				w.WriteHeader(test.status)
				io.WriteString(w, test.body)
			}})
			_, err := client.Templates(t.Context())
			providerError(t, err, test.want)
			var call *dialog360.CallError
			if !errors.As(err, &call) || test.status == 401 && call.Failure.Class != campaign.PauseChannel {
				t.Errorf("failure %+v", call)
			}
		})
	}
}

func TestSandboxHasNoTemplatesHealthOrMedia(t *testing.T) {
	t.Parallel()

	client := newClient(t, dialog360.Config{BaseURL: "http://127.0.0.1:1", Dialect: campaign.DialectSandbox})
	_, err := client.Templates(t.Context())
	providerError(t, err, "the sandbox has no template management")
	_, err = client.Health(t.Context())
	providerError(t, err, "the sandbox has no health status")
	_, err = client.UploadMedia(t.Context(), dialog360.Upload{})
	providerError(t, err, "the sandbox has no media")
}

func TestUnreachableNamesTheHostOnly(t *testing.T) {
	t.Parallel()

	client := newClient(t, dialog360.Config{BaseURL: "http://127.0.0.1:1"})
	_, err := client.Templates(t.Context())
	providerError(t, err, "no answer from 127.0.0.1:1")
	if strings.Contains(err.Error(), "fields") {
		t.Errorf("error %v holds the query", err)
	}
}

func TestWebhookIsSetAndRead(t *testing.T) {
	t.Parallel()

	var stored string
	client, _ := settings(t, map[string]http.HandlerFunc{
		"POST /v1/configs/webhook": func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			stored = string(body)
			w.Write(body)
		},
		"GET /v1/configs/webhook": func(w http.ResponseWriter, r *http.Request) {
			if stored == "" {
				http.Error(w, `{"meta":{"success":false,"http_code":404}}`, http.StatusNotFound)
				return
			}
			io.WriteString(w, stored)
		},
	})
	if got, err := client.Webhook(t.Context()); err != nil || !reflect.DeepEqual(got, dialog360.Webhook{}) {
		t.Errorf("none set: %+v, %v", got, err)
	}
	want := dialog360.Webhook{URL: "http://127.0.0.1:8080/webhooks/a", Headers: map[string]string{"Authorization": "Bearer s3cret"}}
	if err := client.SetWebhook(t.Context(), want.URL, want.Headers); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Webhook(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := client.SetWebhook(t.Context(), "ftp://x", nil); !errors.Is(err, campaign.ErrInvalid) {
		t.Errorf("error %v", err)
	}
}

func TestCheckWebhookURL(t *testing.T) {
	t.Parallel()

	const real, local = "https://waba-v2.example", "http://127.0.0.1:9"
	tests := []struct{ url, base, want string }{
		{"https://hooks.example.com/webhooks/a_b?x=1", real, ""},
		{"http://hooks.example.com/", real, "not https"},
		{"https://my_hooks.example.com/", real, "underscore"},
		{"https://hooks.example.com:8443/", real, "has a port"},
		{"https://hooks.example.com:/", real, "has a port"},
		{"https://localhost/", real, "on this machine"},
		{"https://127.0.0.1/", real, "on this machine"},
		{"https://user@hooks.example.com/", real, "a user"},
		{"https:///x", real, "with a host"},
		{"hooks.example.com", real, "with a host"},
		{"http://127.0.0.1:8080/webhooks/a", local, ""},
		{"http://my_host:8080/webhooks/a", "http://[::1]:9", ""},
		{"http://my_host:8080/webhooks/a", "http://localhost:9", ""},
		{"ftp://127.0.0.1/", local, "with a host"},
	}
	for _, test := range tests {
		err := dialog360.CheckWebhookURL(test.url, test.base)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.url, err)
		case test.want != "" && (!errors.Is(err, campaign.ErrInvalid) || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want %q", test.url, err, test.want)
		}
	}
}

func TestValidateBaseURL(t *testing.T) {
	t.Parallel()

	for _, good := range []string{"https://waba-v2.example", "https://waba-v2.example/", "https://proxy.example:8443/d360", "http://127.0.0.1:9", "http://localhost", "http://[::1]:1"} {
		if err := dialog360.ValidateBaseURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"":                           "with a host",
		"waba-v2.example":            "with a host",
		"https://":                   "with a host",
		"https://:80":                "with a host",
		"ftp://waba-v2.example":      `scheme "ftp"`,
		"http://waba-v2.example":     "plain http",
		"http://127.0.0.1.example":   "plain http",
		"https://u:p@x.example":      "more than",
		"https://x.example?a=b":      "more than",
		"https://x.example/v1/":      "ends in /v1",
		"https://x.example/messages": "ends in /messages",
	} {
		if err := dialog360.ValidateBaseURL(bad); !errors.Is(err, campaign.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", bad, err, want)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()

	bodies := map[string]dialog360.Health{
		`{"id":"1","new":{"x":[1]},"health_status":{"can_send_message":"LIMITED","more":true,"entities":[
			{"entity_type":"PHONE_NUMBER","id":"55","can_send_message":"LIMITED","additional_info":["Your display name has not been approved."]},
			{"entity_type":"WABA","id":66,"can_send_message":"BLOCKED","errors":[{"error_code":141006,"error_description":"No payment method.","possible_solution":"Add one."}]},
			"odd", {"entity_type":"APP"}]}}`: {
			Status: "LIMITED",
			Entities: []dialog360.HealthEntity{
				{Type: "PHONE_NUMBER", ID: "55", Status: "LIMITED", Notes: []string{"Your display name has not been approved."}},
				{Type: "WABA", ID: "66", Status: "BLOCKED", Errors: []dialog360.HealthError{{Code: 141006, Title: "No payment method.", Solution: "Add one."}}},
				{Type: "APP"},
			}},
		`{}`: {Entities: []dialog360.HealthEntity{}},
		`[]`: {Entities: []dialog360.HealthEntity{}},
	}
	for body, want := range bodies {
		client, _ := settings(t, map[string]http.HandlerFunc{"GET /health_status": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) }})
		got, err := client.Health(t.Context())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, error %v", got, err)
		}
		if text, err := json.Marshal(got); err != nil || strings.Contains(string(text), "null") {
			t.Errorf("%s, %v", text, err)
		}
	}
}

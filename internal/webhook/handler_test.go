package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/webhook"
)

// inbox keeps what was stored; it fails while broken.
type inbox struct {
	mu     sync.Mutex
	broken bool
	stored []campaign.Delivery
}

func (i *inbox) SaveDeliveries(_ context.Context, ds []campaign.Delivery) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.broken {
		return errors.New("no database")
	}
	i.stored = append(i.stored, ds...)
	return nil
}

func serve(t *testing.T, i *inbox) *httptest.Server {
	t.Helper()
	lookup := func(name string) (campaign.ChannelID, string, bool) {
		switch name {
		case "sales":
			return 7, "s3cret", true
		case "keyless":
			return 8, "", true
		}
		return 0, "", false
	}
	h := webhook.NewHandler(i, lookup, slog.New(slog.DiscardHandler))
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks/{channel}", h)
	server := httptest.NewServer(mux)
	t.Cleanup(func() { server.Close(); h.Close() })
	return server
}

func TestHandlerAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, channel, header string
		body                  io.Reader
		broken                bool
		want                  int
	}{
		{"Stored", "sales", "Bearer s3cret", strings.NewReader(`{"entry":[]}`), false, 200},
		{"SchemeInLowerCase", "sales", "bearer s3cret", strings.NewReader(`{}`), false, 200},
		{"NoSecret", "sales", "", strings.NewReader(`{}`), false, 401},
		{"WrongSecret", "sales", "Bearer s3cre", strings.NewReader(`{}`), false, 401},
		{"OtherScheme", "sales", "Basic s3cret", strings.NewReader(`{}`), false, 401},
		{"EmptySecretIsNoSecret", "keyless", "Bearer ", strings.NewReader(`{}`), false, 503},
		{"UnknownChannel", "nobody", "Bearer s3cret", strings.NewReader(`{}`), false, 404},
		{"TooLarge", "sales", "Bearer s3cret", bytes.NewReader(bytes.Repeat([]byte(" "), webhook.MaxBody+1)), false, 413},
		{"AsLargeAsAllowed", "sales", "Bearer s3cret", strings.NewReader(`"` + strings.Repeat("x", webhook.MaxBody-2) + `"`), false, 200},
		{"Nonsense", "sales", "Bearer s3cret", strings.NewReader(`nonsense`), false, 400},
		{"CutOff", "sales", "Bearer s3cret", strings.NewReader(`{"entry":[`), false, 400},
		{"NotStored", "sales", "Bearer s3cret", strings.NewReader(`{}`), true, 503},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			i := &inbox{broken: test.broken}
			server := serve(t, i)
			r, err := http.NewRequest(http.MethodPost, server.URL+"/webhooks/"+test.channel, test.body)
			if err != nil {
				t.Fatal(err)
			}
			if test.header != "" {
				r.Header.Set("Authorization", test.header)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != test.want {
				t.Errorf("%d %s, want %d", resp.StatusCode, text, test.want)
			}
			if stored := len(i.stored) == 1; stored != (test.want == 200) {
				t.Errorf("answered %d and stored %d", resp.StatusCode, len(i.stored))
			}
			if test.want != 200 && (len(text) == 0 || bytes.Contains(text, []byte("s3cret"))) {
				t.Errorf("the answer is %q", text)
			}
		})
	}
}

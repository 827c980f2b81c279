package dialog360_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
)

const (
	testKey    = "k3y-that-nobody-may-see"
	testNumber = "+16505551234"
	testName   = "Annegret"
)

var okBody = `{"messaging_product":"whatsapp","contacts":[{"input":"+16505551234","wa_id":"16505551234 "}],"messages":[{"id":"wamid.X","message_status":"accepted"}]}`

func okAnswer(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func newClient(t *testing.T, config dialog360.Config) *dialog360.Client {
	t.Helper()
	config.Key = testKey
	client, err := dialog360.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func newRequest(opaque string) *campaign.Request {
	return &campaign.Request{
		To: testNumber,
		Template: &campaign.Template{Name: "spring", Language: "en_US", Format: campaign.FormatPositional,
			Slots: []campaign.Slot{{Key: "body.1", Kind: campaign.SlotText, Required: true}}},
		Parameters: campaign.Parameters{"body.1": {Text: testName}},
		Opaque:     opaque,
		Validity:   campaign.NewValidity(time.Now(), 10*time.Second, time.Now),
	}
}

// checkAnswer checks what must hold of every answer.
func checkAnswer(t *testing.T, got campaign.Answer, want campaign.AnswerKind) {
	t.Helper()
	if got.Kind != want {
		t.Errorf("answer %s (%v), want %s", got.Kind, got.Err, want)
	}
	if got.Err == nil {
		if want != campaign.AnswerAccepted && want != campaign.AnswerHeld {
			t.Error("an answer without success has no Err")
		}
		return
	}
	for _, secret := range []string{testKey, testNumber[1:], testName} {
		if strings.Contains(got.Err.Error(), secret) {
			t.Errorf("Err %q holds %q", got.Err, secret)
		}
	}
}

// provider is a server on a raw listener. It counts the POSTs that arrive whole,
// by their opaque data, and answers as each test wants.
type provider struct {
	listener net.Listener
	mu       sync.Mutex
	seen     map[string]int
}

func (p *provider) count(opaque string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[opaque]
}

func (p *provider) url() string { return "http://" + p.listener.Addr().String() }

// serve runs answer for each request on each connection, until it returns false.
func serve(t *testing.T, answer func(conn *net.TCPConn) bool) *provider {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{listener: listener, seen: map[string]int{}}
	done := make(chan struct{})
	var group sync.WaitGroup
	t.Cleanup(func() { close(done); listener.Close(); group.Wait() })
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				stop := context.AfterFunc(contextOf(done), func() { conn.Close() })
				defer stop()
				defer conn.Close()
				reader := bufio.NewReader(conn)
				for {
					request, err := http.ReadRequest(reader)
					if err != nil {
						return
					}
					var body struct {
						Opaque string `json:"biz_opaque_callback_data"`
					}
					if err := json.NewDecoder(request.Body).Decode(&body); err != nil {
						return
					}
					io.Copy(io.Discard, request.Body)
					p.mu.Lock()
					p.seen[body.Opaque]++
					p.mu.Unlock()
					if !answer(conn.(*net.TCPConn)) {
						return
					}
				}
			})
		}
	})
	return p
}

func contextOf(done <-chan struct{}) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-done; cancel() }()
	return ctx
}

func TestSendPostsTheMessage(t *testing.T) {
	t.Parallel()

	for dialect, path := range map[string]string{campaign.DialectCloud: "/messages", campaign.DialectSandbox: "/v1/messages"} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()

			var body []byte
			var request *http.Request
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				request = r
				body, _ = io.ReadAll(r.Body)
				w.WriteHeader(http.StatusCreated)
				io.WriteString(w, okBody)
			}))
			defer server.Close()
			client := newClient(t, dialog360.Config{BaseURL: server.URL + "/", Dialect: dialect})
			answer := client.Send(t.Context(), newRequest("d/1/1"))
			checkAnswer(t, answer, campaign.AnswerAccepted)
			if answer.ProviderID != "wamid.X" || answer.WaID != "16505551234" || answer.RawStatus != "accepted" {
				t.Errorf("answer %+v", answer)
			}
			if request.Method != "POST" || request.URL.Path != path || request.Header.Get("D360-API-KEY") != testKey ||
				request.Header.Get("Content-Type") != "application/json" || request.ContentLength != int64(len(body)) {
				t.Errorf("%s %s %v", request.Method, request.URL, request.ContentLength)
			}
			want, err := dialog360.AppendMessage(nil, dialect, newRequest("d/1/1"))
			if err != nil || string(body) != string(want) {
				t.Errorf("body %s", body)
			}
		})
	}
}

func TestSendUnderstandsAnswers(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		status int
		header http.Header
		body   string
		want   campaign.AnswerKind
		check  func(campaign.Answer) bool
	}{
		"Held": {200, nil, `{"messages":[{"id":"wamid.H","message_status":"held_for_quality_assessment"}]}`, campaign.AnswerHeld, func(a campaign.Answer) bool {
			return a.ProviderID == "wamid.H" && a.RawStatus == "held_for_quality_assessment"
		}},
		"Paused":         {200, nil, `{"messages":[{"id":"wamid.H","message_status":"paused"}]}`, campaign.AnswerHeld, func(a campaign.Answer) bool { return a.RawStatus == "paused" }},
		"NoStatus":       {201, nil, `{"messages":[{"id":"gBGG"}],"meta":{"api_status":"stable"}}`, campaign.AnswerAccepted, func(a campaign.Answer) bool { return a.RawStatus == "" && a.ProviderID == "gBGG" }},
		"NewStatus":      {200, nil, `{"messages":[{"id":"x","message_status":"queued_somewhere"}]}`, campaign.AnswerAccepted, func(a campaign.Answer) bool { return a.RawStatus == "queued_somewhere" }},
		"OddContacts":    {200, nil, `{"contacts":"none","messages":[{"id":"x"}]}`, campaign.AnswerAccepted, nil},
		"Garbage":        {200, nil, `this is not JSON +16505551234`, campaign.AnswerInDoubt, nil},
		"Empty200":       {200, nil, ``, campaign.AnswerInDoubt, nil},
		"NoID":           {200, nil, `{"messaging_product":"whatsapp","messages":[{}]}`, campaign.AnswerInDoubt, nil},
		"BlankID":        {200, nil, `{"messages":[{"id":" "}]}`, campaign.AnswerInDoubt, nil},
		"Error200":       {200, nil, `{"error":{"message":"(#131056) x","code":131056}}`, campaign.AnswerFailed, func(a campaign.Answer) bool { return a.Failure.Code == "131056" }},
		"MetaError":      {400, nil, `{"error":{"message":"(#132000) x","code":132000,"error_data":{"details":"to +16505551234"}}}`, campaign.AnswerFailed, func(a campaign.Answer) bool { return a.Failure.Code == "132000" && a.Failure.HTTP == 400 }},
		"InvalidKey":     {401, nil, `{"error":"Invalid api token."}`, campaign.AnswerFailed, func(a campaign.Answer) bool { return a.Failure.Class == campaign.PauseChannel && a.Failure.Operator }},
		"PlainForbidden": {403, nil, `<html>no</html>`, campaign.AnswerFailed, nil},
		"Throttled": {429, http.Header{"Retry-After": {"7"}}, ``, campaign.AnswerFailed, func(a campaign.Answer) bool {
			return a.RetryAfter == 7*time.Second && a.Failure.Class == campaign.SlowDown
		}},
		"Unavailable": {503, http.Header{"Retry-After": {"2"}}, `<html>`, campaign.AnswerFailed, func(a campaign.Answer) bool { return a.RetryAfter == 2*time.Second && a.Failure.Deferrable() }},
		"Timeout408":  {408, nil, ``, campaign.AnswerInDoubt, nil},
		"Server500":   {500, nil, `oops`, campaign.AnswerInDoubt, nil},
		"Meta500":     {500, nil, `{"error":{"message":"x","code":131000}}`, campaign.AnswerFailed, func(a campaign.Answer) bool { return a.Failure.Code == "131000" && a.Failure.Deferrable() }},
		"Empty502":    {502, nil, ``, campaign.AnswerInDoubt, nil},
		"HTML504":     {504, nil, `<html><h1>504 Gateway Time-out</h1></html>`, campaign.AnswerInDoubt, nil},
		"Odd599":      {599, nil, `{}`, campaign.AnswerInDoubt, nil},
		"Redirect302": {302, http.Header{"Location": {"/elsewhere"}}, ``, campaign.AnswerFailed, func(a campaign.Answer) bool { return a.Redirected && a.Failure.Class == campaign.PauseChannel }},
		"TooLong":     {200, nil, strings.Repeat("x", 1<<20+10), campaign.AnswerInDoubt, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var posts atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				posts.Add(1)
				io.Copy(io.Discard, r.Body)
				for key, values := range test.header {
					w.Header()[key] = values
				}
				w.WriteHeader(test.status)
				io.WriteString(w, test.body)
			}))
			defer server.Close()
			answer := newClient(t, dialog360.Config{BaseURL: server.URL}).Send(t.Context(), newRequest("d/1/1"))
			checkAnswer(t, answer, test.want)
			if test.check != nil && !test.check(answer) {
				t.Errorf("answer %+v", answer)
			}
			if posts.Load() != 1 {
				t.Errorf("%d POSTs, want 1", posts.Load())
			}
		})
	}
}

func TestSendDoesNotFollowRedirects(t *testing.T) {
	t.Parallel()

	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()

			var elsewhere, posts atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/messages" {
					elsewhere.Add(1)
					return
				}
				posts.Add(1)
				http.Redirect(w, r, "/v2/messages", status)
			}))
			defer server.Close()
			answer := newClient(t, dialog360.Config{BaseURL: server.URL}).Send(t.Context(), newRequest("d/1/1"))
			checkAnswer(t, answer, campaign.AnswerFailed)
			if !answer.Redirected || !answer.Failure.Deferrable() {
				t.Errorf("answer %+v", answer)
			}
			if posts.Load() != 1 || elsewhere.Load() != 0 {
				t.Errorf("%d POSTs and %d elsewhere", posts.Load(), elsewhere.Load())
			}
		})
	}
}

// Nothing reached the wire: the message may be sent again.
func TestSendWritesNothing(t *testing.T) {
	t.Parallel()

	t.Run("Refused", func(t *testing.T) {
		t.Parallel()

		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		listener.Close()
		request := newRequest("d/1/1")
		checkAnswer(t, newClient(t, dialog360.Config{BaseURL: "http://" + address}).Send(t.Context(), request), campaign.AnswerUnreachable)
		if request.Validity.Written() {
			t.Error("the claim counts as written")
		}
	})
	t.Run("DNS", func(t *testing.T) {
		t.Parallel()

		resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no name server")
		}}
		client := newClient(t, dialog360.Config{BaseURL: "https://provider.invalid", Dialer: &net.Dialer{Resolver: resolver}})
		checkAnswer(t, client.Send(t.Context(), newRequest("d/1/1")), campaign.AnswerUnreachable)
	})
	t.Run("UntrustedCertificate", func(t *testing.T) {
		t.Parallel()

		var posts atomic.Int32
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { posts.Add(1) }))
		server.Config.ErrorLog = discardLog()
		server.StartTLS()
		defer server.Close()
		checkAnswer(t, newClient(t, dialog360.Config{BaseURL: server.URL}).Send(t.Context(), newRequest("d/1/1")), campaign.AnswerUnreachable)
		if posts.Load() != 0 {
			t.Error("the server saw a POST")
		}
	})
	t.Run("PlainServerForTLS", func(t *testing.T) {
		t.Parallel()

		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the server saw a request") }))
		defer server.Close()
		client := newClient(t, dialog360.Config{BaseURL: strings.Replace(server.URL, "http", "https", 1)})
		checkAnswer(t, client.Send(t.Context(), newRequest("d/1/1")), campaign.AnswerUnreachable)
	})
	t.Run("ResetDuringHandshake", func(t *testing.T) {
		t.Parallel()

		address := acceptAnd(t, func(conn *net.TCPConn) {
			conn.Read(make([]byte, 1))
			conn.SetLinger(0)
			conn.Close()
		})
		checkAnswer(t, newClient(t, dialog360.Config{BaseURL: "https://" + address}).Send(t.Context(), newRequest("d/1/1")), campaign.AnswerUnreachable)
	})
	t.Run("TimeoutDuringHandshake", func(t *testing.T) {
		t.Parallel()

		address := acceptAnd(t, func(conn *net.TCPConn) { io.Copy(io.Discard, conn) })
		for name, config := range map[string]dialog360.Config{
			"tls":   {TLSTimeout: 30 * time.Millisecond},
			"whole": {Timeout: 30 * time.Millisecond},
		} {
			config.BaseURL = "https://" + address
			request := newRequest("d/1/1")
			answer := newClient(t, config).Send(t.Context(), request)
			checkAnswer(t, answer, campaign.AnswerUnreachable)
			if request.Validity.Written() {
				t.Errorf("%s: the claim counts as written", name)
			}
		}
	})
	t.Run("NoFreeConnection", func(t *testing.T) {
		t.Parallel()

		arrived := make(chan struct{})
		once := sync.OnceFunc(func() { close(arrived) })
		p := serve(t, func(conn *net.TCPConn) bool { once(); io.Copy(io.Discard, conn); return false })
		client := newClient(t, dialog360.Config{BaseURL: p.url(), Connections: 1})
		first := make(chan campaign.Answer, 1)
		occupying, free := context.WithCancel(t.Context())
		defer free()
		go func() { first <- client.Send(occupying, newRequest("d/1/1")) }()
		<-arrived
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		checkAnswer(t, client.Send(ctx, newRequest("d/2/1")), campaign.AnswerAbandoned)
		free()
		checkAnswer(t, <-first, campaign.AnswerInDoubt)
		if p.count("d/2/1") != 0 {
			t.Error("the server saw the second")
		}
	})
	t.Run("BadParameters", func(t *testing.T) {
		t.Parallel()

		p := serve(t, func(conn *net.TCPConn) bool { io.WriteString(conn, okAnswer(okBody)); return true })
		request := newRequest("d/1/1")
		request.Parameters = nil
		answer := newClient(t, dialog360.Config{BaseURL: p.url()}).Send(t.Context(), request)
		checkAnswer(t, answer, campaign.AnswerFailed)
		if answer.Failure.Code != "bad_parameters" || answer.Failure.Class != campaign.Final || request.Validity.Written() || p.count("d/1/1") != 0 {
			t.Errorf("answer %+v", answer)
		}
	})
}

func TestSendAbandons(t *testing.T) {
	t.Parallel()

	tests := map[string]func(*campaign.Request) context.Context{
		"TooOldByBothClocks": func(r *campaign.Request) context.Context {
			r.Validity = campaign.NewValidity(time.Now(), 10*time.Second, func() time.Time { return time.Now().Add(11 * time.Second) })
			return context.Background()
		},
		"TooOldByTheWallClock": func(r *campaign.Request) context.Context {
			// A suspended machine: the monotonic clock stood still.
			started := time.Now()
			r.Validity = campaign.NewValidity(started, 10*time.Second, func() time.Time { return started.Round(0).Add(11 * time.Second) })
			return context.Background()
		},
		"WorkerGaveUp": func(r *campaign.Request) context.Context {
			r.Validity.Abandon()
			return context.Background()
		},
		"ContextEnded": func(*campaign.Request) context.Context {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx
		},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p := serve(t, func(conn *net.TCPConn) bool { io.WriteString(conn, okAnswer(okBody)); return true })
			client := newClient(t, dialog360.Config{BaseURL: p.url()})
			request := newRequest("d/1/1")
			answer := client.Send(prepare(request), request)
			checkAnswer(t, answer, campaign.AnswerAbandoned)
			if !errors.Is(answer.Err, dialog360.ErrAbandoned) {
				t.Errorf("Err %v", answer.Err)
			}
			if request.Validity.Written() || !request.Validity.Abandon() {
				t.Error("the claim counts as written")
			}
			// The channel goes on.
			checkAnswer(t, client.Send(context.Background(), newRequest("d/2/1")), campaign.AnswerAccepted)
			if p.count("d/1/1") != 0 || p.count("d/2/1") != 1 {
				t.Errorf("the server saw %v", p.seen)
			}
		})
	}
}

// Something was written and no answer understood.
func TestSendInDoubt(t *testing.T) {
	t.Parallel()

	write := func(text string) func(*net.TCPConn) bool {
		return func(conn *net.TCPConn) bool { io.WriteString(conn, text); return false }
	}
	tests := map[string]struct {
		answer func(*net.TCPConn) bool
		want   campaign.AnswerKind
	}{
		"ResetAfter":         {func(conn *net.TCPConn) bool { conn.SetLinger(0); return false }, campaign.AnswerInDoubt},
		"ClosedAfter":        {func(*net.TCPConn) bool { return false }, campaign.AnswerInDoubt},
		"TimeoutAfter":       {func(conn *net.TCPConn) bool { io.Copy(io.Discard, conn); return false }, campaign.AnswerInDoubt},
		"HalfTheStatusLine":  {write("HTTP/1.1 20"), campaign.AnswerInDoubt},
		"HalfTheHeaders":     {write("HTTP/1.1 200 OK\r\nContent-Type: appl"), campaign.AnswerInDoubt},
		"HalfTheBody":        {write(okAnswer(okBody)[:len(okAnswer(okBody))-20]), campaign.AnswerInDoubt},
		"HalfAnErrorBody":    {write("HTTP/1.1 400 Bad\r\nContent-Length: 99\r\n\r\n{\"error\":{\"code\":1310"), campaign.AnswerInDoubt},
		"HalfAChunk":         {write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{\"messages\":[{\"id\":\"wamid."), campaign.AnswerInDoubt},
		"AllButTheLastChunk": {write(fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(okBody), okBody)), campaign.AnswerAccepted},
		"StalledBody": {func(conn *net.TCPConn) bool {
			io.WriteString(conn, okAnswer(okBody)[:len(okAnswer(okBody))-20])
			io.Copy(io.Discard, conn)
			return false
		}, campaign.AnswerInDoubt},
		"NotHTTP":    {write("+16505551234 Annegret\r\n\r\n"), campaign.AnswerInDoubt},
		"Switched":   {write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), campaign.AnswerInDoubt},
		"EarlyHints": {write("HTTP/1.1 103 Early Hints\r\n\r\n" + okAnswer(okBody)), campaign.AnswerAccepted},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p := serve(t, test.answer)
			config := dialog360.Config{BaseURL: p.url(), Timeout: 10 * time.Second}
			if name == "TimeoutAfter" || name == "StalledBody" {
				config.Timeout = time.Second
			}
			client := newClient(t, config)
			request := newRequest("d/1/1")
			checkAnswer(t, client.Send(t.Context(), request), test.want)
			if !request.Validity.Written() {
				t.Error("the claim does not count as written")
			}
			if n := p.count("d/1/1"); n != 1 {
				t.Errorf("%d POSTs, want 1", n)
			}
		})
	}
	t.Run("ContextEndedAfter", func(t *testing.T) {
		t.Parallel()

		ctx, cancel := context.WithCancel(t.Context())
		p := serve(t, func(conn *net.TCPConn) bool { cancel(); io.Copy(io.Discard, conn); return false })
		checkAnswer(t, newClient(t, dialog360.Config{BaseURL: p.url()}).Send(ctx, newRequest("d/1/1")), campaign.AnswerInDoubt)
	})
}

// An HTTP/2 server may refuse a stream and Go would send it again; we never
// speak HTTP/2.
func TestSendStaysOnHTTP1(t *testing.T) {
	t.Parallel()

	var protocol atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol.Store(int32(r.ProtoMajor))
		io.WriteString(w, okBody)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	authorities := x509.NewCertPool()
	authorities.AddCert(server.Certificate())
	client := newClient(t, dialog360.Config{BaseURL: server.URL, TLS: &tls.Config{RootCAs: authorities}})
	checkAnswer(t, client.Send(t.Context(), newRequest("d/1/1")), campaign.AnswerAccepted)
	if protocol.Load() != 1 {
		t.Errorf("HTTP/%d", protocol.Load())
	}
	// The server would speak it: the standard client does.
	response, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if protocol.Load() != 2 {
		t.Errorf("the server speaks HTTP/%d, so the test shows nothing", protocol.Load())
	}
}

// A server that closes its connections between requests, in every way and at any
// moment, gets no message twice, and what is accepted it has seen. In doubt is
// rare, because a dead connection is noticed before the claim is used.
func TestSendOnConnectionsThatClose(t *testing.T) {
	t.Parallel()

	closings := map[string]func(conn *net.TCPConn) bool{
		"AfterTheAnswer": func(conn *net.TCPConn) bool { return false },
		"ByReset":        func(conn *net.TCPConn) bool { conn.SetLinger(0); return false },
		"ALittleLater":   func(conn *net.TCPConn) bool { time.Sleep(100 * time.Microsecond); return false },
		"WithA408": func(conn *net.TCPConn) bool {
			io.WriteString(conn, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			return false
		},
	}
	for name, ending := range closings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p := serve(t, func(conn *net.TCPConn) bool {
				io.WriteString(conn, okAnswer(okBody))
				return ending(conn)
			})
			client := newClient(t, dialog360.Config{BaseURL: p.url(), Timeout: 5 * time.Second})
			kinds := map[campaign.AnswerKind]int{}
			const sends = 300
			for i := range sends {
				opaque := fmt.Sprintf("d/%d/1", i)
				answer := client.Send(t.Context(), newRequest(opaque))
				kinds[answer.Kind]++
				seen := p.count(opaque)
				switch {
				case seen > 1:
					t.Fatalf("%s was seen %d times", opaque, seen)
				case answer.Kind == campaign.AnswerAccepted && seen != 1:
					t.Fatalf("%s is accepted and was never seen", opaque)
				case answer.Kind == campaign.AnswerUnreachable && seen != 0:
					t.Fatalf("%s was seen and counts as not written: %v", opaque, answer.Err)
				}
			}
			t.Logf("%s: %d sends: %v", name, sends, kinds)
			if kinds[campaign.AnswerAccepted] == 0 {
				t.Error("nothing was accepted")
			}
		})
	}
}

// A connection that was closed while it idled costs nothing: not even a doubt.
func TestSendNoticesAConnectionThatDiedIdle(t *testing.T) {
	t.Parallel()

	closed := make(chan struct{}, 1)
	p := serve(t, func(conn *net.TCPConn) bool {
		io.WriteString(conn, okAnswer(okBody))
		conn.CloseWrite()
		closed <- struct{}{}
		io.Copy(io.Discard, conn)
		return false
	})
	client := newClient(t, dialog360.Config{BaseURL: p.url()})
	for i := range 50 {
		opaque := fmt.Sprintf("d/%d/1", i)
		answer := client.Send(t.Context(), newRequest(opaque))
		if answer.Kind != campaign.AnswerAccepted {
			t.Fatalf("send %d: %s, %v", i, answer.Kind, answer.Err)
		}
		<-closed
		if p.count(opaque) != 1 {
			t.Errorf("%s was seen %d times", opaque, p.count(opaque))
		}
	}
}

// A worker that gives up and the transport that begins to write race for one
// atomic: whoever wins, what the worker believes is true.
func TestSendAbandonRacesWithTheFirstRead(t *testing.T) {
	t.Parallel()

	p := serve(t, func(conn *net.TCPConn) bool { io.WriteString(conn, okAnswer(okBody)); return true })
	client := newClient(t, dialog360.Config{BaseURL: p.url()})
	abandoned := 0
	for i := range 300 {
		opaque := fmt.Sprintf("d/%d/1", i)
		request := newRequest(opaque)
		given := make(chan bool, 1)
		go func() {
			time.Sleep(time.Duration(i) * 500 * time.Nanosecond)
			given <- request.Validity.Abandon()
		}()
		answer := client.Send(t.Context(), request)
		gaveUp := <-given
		if gaveUp {
			abandoned++
		}
		if gaveUp != (answer.Kind == campaign.AnswerAbandoned) {
			t.Fatalf("gave up %v, answer %s", gaveUp, answer.Kind)
		}
		if seen := p.count(opaque); gaveUp && seen != 0 || !gaveUp && seen != 1 {
			t.Fatalf("gave up %v, seen %d times", gaveUp, seen)
		}
	}
	t.Logf("%d of 300 abandoned", abandoned)
}

func TestNewRefusesConfigurations(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		config dialog360.Config
		want   error
	}{
		"NoURL":     {dialog360.Config{Key: "k"}, campaign.ErrInvalid},
		"PlainHTTP": {dialog360.Config{BaseURL: "http://waba-v2.example", Key: "k"}, campaign.ErrInvalid},
		"NoKey":     {dialog360.Config{BaseURL: "https://waba-v2.example", Key: " \n"}, campaign.ErrSecret},
		"OddKey":    {dialog360.Config{BaseURL: "https://waba-v2.example", Key: "a b"}, campaign.ErrSecret},
		"Dialect":   {dialog360.Config{BaseURL: "https://waba-v2.example", Key: "k", Dialect: "onprem"}, campaign.ErrInvalid},
	}
	for name, test := range tests {
		if _, err := dialog360.New(test.config); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	config := dialog360.Config{BaseURL: "https://waba-v2.example", Key: testKey}
	for _, text := range []string{fmt.Sprint(config), fmt.Sprintf("%+v", config), fmt.Sprintf("%#v", config)} {
		if strings.Contains(text, testKey) {
			t.Errorf("%s holds the key", text)
		}
	}
}

// acceptAnd runs serve for each connection and gives the address.
func acceptAnd(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	var conns sync.Map
	t.Cleanup(func() {
		listener.Close()
		conns.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		group.Wait()
	})
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Store(conn, nil)
			group.Go(func() { serve(conn.(*net.TCPConn)); conn.Close() })
		}
	})
	return listener.Addr().String()
}

func BenchmarkSend(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, okBody)
	}))
	defer server.Close()
	client, err := dialog360.New(dialog360.Config{BaseURL: server.URL, Key: testKey})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	b.ReportAllocs()
	for b.Loop() {
		if answer := client.Send(context.Background(), newRequest("d/1/1")); answer.Kind != campaign.AnswerAccepted {
			b.Fatal(answer.Err)
		}
	}
}

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

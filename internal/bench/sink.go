package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// sinkConfig says how the sink answers.
type sinkConfig struct {
	Listen  string        `json:"listen"`  // loopback only
	Latency time.Duration `json:"latency"` // before each answer
}

// sinkReady is what it says when it answers.
type sinkReady struct {
	URL string `json:"url"`
}

// sink is a provider that takes every message, answers at once in 360dialog's
// shape (whatsapp-facts §3), and remembers when which opaque id came.
type sink struct {
	latency time.Duration

	mu    sync.Mutex
	posts []seen
}

// seen is one POST: when its body had been read, by the machine's clock, and a
// hash of its opaque id, 0 where it had none.
type seen struct {
	at     int64 // Unix time in nanoseconds
	opaque uint64
}

// Paths of the sink beside /messages.
const (
	sinkPosts = "/bench/posts" // GET: what was seen from the ?after-th on, 16 bytes each; DELETE: forget it
	sinkCount = "/bench/count" // GET: how many
)

func runSink(ctx context.Context, c sinkConfig, say func(any) error) error {
	host, _, err := net.SplitHostPort(c.Listen)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return campaign.ErrGuard.With(fmt.Sprintf("the bench's sink listens on loopback only, not at %q", c.Listen), "127.0.0.1:0")
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen for the bench's sink: %w", err)
	}
	s := &sink{latency: c.Latency}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /messages", s.take)
	mux.HandleFunc("GET "+sinkPosts, s.report)
	mux.HandleFunc("DELETE "+sinkPosts, s.forget)
	mux.HandleFunc("GET "+sinkCount, s.count)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.NewTextHandler(os.Stderr, nil), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := say(sinkReady{"http://" + listener.Addr().String()}); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the bench's sink: %w", err)
	}
	return nil
}

var (
	sinkOpaque = []byte(`"biz_opaque_callback_data":"`) //nolint:gochecknoglobals // never written to
	sinkTo     = []byte(`"to":"`)                       //nolint:gochecknoglobals // never written to
	sinkType   = []string{"application/json"}           //nolint:gochecknoglobals // never written to
)

// sinkBody bounds a request; a template message has some 500 bytes.
const sinkBody = 64 << 10

func (s *sink) take(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength < 0 || r.ContentLength > sinkBody {
		http.Error(w, "a length is needed", http.StatusLengthRequired)
		return
	}
	// Read and scanned by hand: the sink's part of the CPU should not be a guess at
	// what the provider does, but as little as HTTP allows.
	body := make([]byte, r.ContentLength, r.ContentLength+256)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		http.Error(w, "the body is not complete", http.StatusBadRequest)
		return
	}
	now := time.Now().UnixNano()
	opaque, to := text(body, sinkOpaque), text(body, sinkTo)
	s.mu.Lock()
	s.posts = append(s.posts, seen{now, hashOpaque(opaque)})
	n := len(s.posts)
	s.mu.Unlock()
	if s.latency > 0 {
		time.Sleep(s.latency)
	}
	answer := append(body[len(body):], `{"messaging_product":"whatsapp","contacts":[{"input":"`...)
	answer = append(answer, to...)
	answer = append(answer, `","wa_id":"`...)
	answer = append(answer, bytes.TrimPrefix(to, []byte("+"))...)
	answer = append(answer, `"}],"messages":[{"id":"`...)
	answer = appendProviderID(answer, now, int64(n))
	answer = append(answer, `","message_status":"accepted"}]}`...)
	h := w.Header()
	h["Content-Type"] = sinkType
	h["Content-Length"] = []string{strconv.Itoa(len(answer))}
	_, _ = w.Write(answer)
}

// appendProviderID writes a unique id as long as the provider's.
func appendProviderID(dst []byte, at, n int64) []byte {
	const zeros = "0000000000000000"
	dst = append(dst, "wamid.HBgNNDkxNTEwMDAwMDAwMBUCABEY"...)
	for _, v := range []int64{at, n} {
		digits := strconv.FormatInt(v, 16)
		dst = append(append(dst, zeros[:max(0, 16-len(digits))]...), digits...)
	}
	return dst
}

// text gives what stands between a key and the next quote.
func text(body, key []byte) []byte {
	i := bytes.Index(body, key)
	if i < 0 {
		return nil
	}
	rest := body[i+len(key):]
	if end := bytes.IndexByte(rest, '"'); end >= 0 {
		return rest[:end]
	}
	return nil
}

// hashOpaque is FNV-1a, 64 bits: among ten million ids two are equal by chance
// once in 400,000 runs.
func hashOpaque[T string | []byte](opaque T) uint64 {
	if len(opaque) == 0 {
		return 0
	}
	h := uint64(14695981039346656037)
	for i := range len(opaque) {
		h = (h ^ uint64(opaque[i])) * 1099511628211
	}
	return h
}

func (s *sink) report(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.Atoi(r.URL.Query().Get("after"))
	s.mu.Lock()
	posts := s.posts[min(max(after, 0), len(s.posts)):]
	s.mu.Unlock()
	data := make([]byte, 0, 16*len(posts))
	for _, p := range posts {
		data = binary.LittleEndian.AppendUint64(data, uint64(p.at)) //nolint:gosec // and back
		data = binary.LittleEndian.AppendUint64(data, p.opaque)
	}
	_, _ = w.Write(data)
}

func (s *sink) forget(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	s.posts = nil
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (s *sink) count(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	n := len(s.posts)
	s.mu.Unlock()
	_, _ = io.WriteString(w, strconv.Itoa(n))
}

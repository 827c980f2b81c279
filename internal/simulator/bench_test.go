package simulator

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// BenchmarkPost measures a whole POST over loopback with a client that costs
// little: what the simulator can take as a sink.
func BenchmarkPost(b *testing.B) {
	s := start(b, Config{Key: "k"})
	var serial atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		for pb.Next() {
			body := spring(fmt.Sprintf("+49170%07d", serial.Add(1)), "d/1/1")
			fmt.Fprintf(conn, "POST /messages HTTP/1.1\r\nHost: s\r\nD360-API-KEY: k\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			answer, err := http.ReadResponse(r, nil)
			if err != nil || answer.StatusCode != 200 {
				b.Errorf("answer %v, %v", answer, err)
				return
			}
			_, _ = io.Copy(io.Discard, answer.Body)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "posts/s")
}

// BenchmarkCheck measures the request checks alone.
func BenchmarkCheck(b *testing.B) {
	list, err := readTemplates(builtin)
	if err != nil {
		b.Fatal(err)
	}
	c := newCatalog("1", list, false)
	body := []byte(spring("+491701234567", "d/1/1"))
	b.ReportAllocs()
	for b.Loop() {
		m, refused := (&checker{}).parseSend(body)
		if refused == nil {
			_, refused = c.check(m.template)
		}
		if refused != nil {
			b.Fatal(refused.details())
		}
	}
}

// BenchmarkWebhooks measures statuses from acceptance to a target that answers
// at once.
func BenchmarkWebhooks(b *testing.B) {
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer target.Close()
	s := start(b, Config{WebhookURL: target.URL, Pace: 0.001})
	body := spring("+491701234567", "d/1/1")
	for b.Loop() {
		r := httptest.NewRequest("POST", "/messages", strings.NewReader(body))
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
	eventually(b, "all statuses", func() bool { return s.Stats().WebhooksDelivered >= 3*int64(b.N) })
	b.ReportMetric(float64(s.Stats().WebhooksDelivered)/b.Elapsed().Seconds(), "statuses/s")
}

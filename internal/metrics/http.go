package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler answers GET /metrics and /debug/pprof/. It belongs on a private
// address: whoever reaches it learns how much is sent and to which channels'
// queues, and may let the program profile itself. pprof's cmdline is left out,
// because a command line may hold the password of a database.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		// What can be told is told, whatever one collector has to complain of.
		ErrorHandling: promhttp.ContinueOnError,
		// A scrape may wait for the database: not for many at a time.
		MaxRequestsInFlight: 4,
	}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "campaignd: /metrics, /debug/pprof/")
	})
	return mux
}

// Webhooks counts the requests of next, whose pattern has a {channel}. known says
// whether that is a channel of ours: strangers may ask for any name, and must not
// make a time series each.
func (m *Metrics) Webhooks(next http.Handler, known func(name string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		answer := &answered{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(answer, r)
		channel := r.PathValue("channel")
		if !known(channel) {
			channel = ""
		}
		m.requests.WithLabelValues(channel, strconv.Itoa(answer.code)).Inc()
		m.requestSeconds.Observe(seconds(time.Since(begun)))
	})
}

// answered remembers a response's status code.
type answered struct {
	http.ResponseWriter
	code    int
	written bool
}

func (a *answered) WriteHeader(code int) {
	if !a.written {
		a.code, a.written = code, true
	}
	a.ResponseWriter.WriteHeader(code)
}

func (a *answered) Write(b []byte) (int, error) {
	a.written = true
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController: a body that is too large closes the
// connection through it.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Logs counts the warnings and errors that pass through a handler.
func (m *Metrics) Logs(next slog.Handler) slog.Handler { return counting{next, m.logs} }

// counting is a slog.Handler that counts.
type counting struct {
	slog.Handler
	levels [2]prometheus.Counter
}

func (c counting) Handle(ctx context.Context, r slog.Record) error {
	switch {
	case r.Level >= slog.LevelError:
		c.levels[1].Inc()
	case r.Level >= slog.LevelWarn:
		c.levels[0].Inc()
	}
	return c.Handler.Handle(ctx, r)
}

func (c counting) WithAttrs(a []slog.Attr) slog.Handler {
	return counting{c.Handler.WithAttrs(a), c.levels}
}

func (c counting) WithGroup(g string) slog.Handler {
	return counting{c.Handler.WithGroup(g), c.levels}
}

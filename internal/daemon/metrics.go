package daemon

import (
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// serveMetrics answers those who look from outside until the function it gives is
// called. It has a server of its own: webhooks are for the world, this is not. A
// node that cannot be looked at goes on sending.
func (d *Daemon) serveMetrics() (stop func()) {
	if d.config.Metrics == nil {
		return func() {}
	}
	// No write timeout: a CPU profile takes as long as it was asked for.
	server := &http.Server{Handler: d.metrics.Handler(d.log), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(d.config.Metrics); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("metrics are not served any more", "error", err)
		}
	}()
	return func() {
		_ = server.Close()
		<-done
	}
}

// names lists the roles, as in --roles.
func (r Roles) names() []string {
	var names []string
	for _, role := range []struct {
		is   bool
		name string
	}{{r.Send, "send"}, {r.Webhook, "webhook"}, {r.Schedule, "schedule"}} {
		if role.is {
			names = append(names, role.name)
		}
	}
	return names
}

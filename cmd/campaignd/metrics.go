package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
)

// metricsDefault has the port on which applications usually show their metrics
// (OpenTelemetry's), of this machine only: whoever reads them may also let the
// program profile itself.
const metricsDefault = "127.0.0.1:9464"

func metricsFlag() cli.Flag {
	return &cli.StringFlag{Name: "metrics-listen", EnvVars: []string{"CAMPAIGN_METRICS_LISTEN"}, Value: metricsDefault,
		Usage: "serve /metrics and /debug/pprof/ at `ADDR`, a private address; off serves them nowhere"}
}

// listenMetrics takes the address for metrics. One that was asked for must be
// free; where it is only the default, the second daemon of a machine goes on
// without. It gives nil where nothing is served.
func listenMetrics(address string, asked bool, log *slog.Logger) (net.Listener, error) {
	if address == "" || address == "off" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	switch {
	case err != nil && asked:
		return nil, campaign.ErrInvalid.With(fmt.Sprintf("cannot serve metrics at %s: %s", address, reasonOf(err)),
			"give another address with --metrics-listen, or off")
	case err != nil:
		log.Warn("metrics are not served: the default address cannot be used; --metrics-listen gives another, or off", "address", address, "error", reasonOf(err))
		return nil, nil
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		log.Warn("metrics and profiles are served beyond this machine, to whoever reaches the address: keep it in a private network", "address", l.Addr().String())
	}
	log.Info("metrics are served", "address", l.Addr().String())
	return l, nil
}

// reasonOf gives what the system said, without the address that is told anyway.
func reasonOf(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

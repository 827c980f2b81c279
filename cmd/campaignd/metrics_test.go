package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// series is one line of a scrape.
type series struct {
	name   string
	labels map[string]string
	value  float64
}

var (
	seriesLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)
	labelPart  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
)

// scrape reads the metrics of the daemon at an address.
func scrape(t *testing.T, address string) (all []series, text string) {
	t.Helper()
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s (%v)", address, resp.StatusCode, body, err)
	}
	text = string(body)
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := seriesLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("no time series: %q", line)
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		s := series{m[1], map[string]string{}, value}
		for _, l := range labelPart.FindAllStringSubmatch(m[2], -1) {
			s.labels[l[1]] = l[2]
		}
		all = append(all, s)
	}
	return all, text
}

// sum adds the series of a name whose labels are the given ones, as name, value,
// name, value.
func sum(all []series, name string, labels ...string) (n float64) {
next:
	for _, s := range all {
		if s.name != name {
			continue
		}
		for i := 0; i < len(labels); i += 2 {
			if s.labels[labels[i]] != labels[i+1] {
				continue next
			}
		}
		n += s.value
	}
	return n
}

// The figures from outside are those of the report, and nothing in them is about
// a person.
func TestMetricsTellWhatTheReportTells(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, 1000, "--profile", "clean")
	w.audience(400)
	address := freeAddr(t)
	d := w.daemon("--metrics-listen", address)
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes", "--wait=settled", "--timeout", "2m")
	status := w.until("everything read", func(s campaign.Status) bool { return s.Counts[campaign.Read] == 300 })
	time.Sleep(5100 * time.Millisecond) // a reading of the database is kept for 5 s
	all, text := scrape(t, address)

	for state, n := range status.Counts {
		if got := sum(all, "campaignd_messages", "channel", "sales", "state", string(state)); got != float64(n) {
			t.Errorf("%s: %v, and the status says %d", state, got, n)
		}
	}
	for _, c := range []struct {
		what string
		got  float64
		want float64
	}{
		{"accepted", sum(all, "campaignd_sends_total", "channel", "sales", "answer", "accepted"), 300},
		{"sends", sum(all, "campaignd_sends_total"), 300},
		{"turns claimed", sum(all, "campaignd_turns_total", "result", "claimed"), 300},
		{"fanned out", sum(all, "campaignd_fan_out_messages_total", "channel", "sales"), 300},
		{"POSTs measured", sum(all, "campaignd_send_stage_seconds_count", "stage", "post"), 300},
		{"outcomes measured", sum(all, "campaignd_send_stage_seconds_count", "stage", "outcome"), 300},
		{"claimed in batches", sum(all, "campaignd_batch_elements_sum", "operation", "claim"), 300},
		{"recorded in batches", sum(all, "campaignd_batch_elements_sum", "operation", "record"), 300},
		{"failed batches", sum(all, "campaignd_batch_errors_total"), 0},
		{"webhooks applied", sum(all, "campaignd_webhooks_applied_total"), sum(all, "campaignd_webhook_requests_total", "channel", "sales", "code", "200")},
		{"webhooks stored", sum(all, "campaignd_batch_elements_sum", "operation", "store_webhooks"), sum(all, "campaignd_webhook_apply_lag_seconds_count")},
		{"webhooks left", sum(all, "campaignd_webhooks_unapplied"), 0},
		{"lost attempts", sum(all, "campaignd_webhook_lost_attempts_total"), 0},
		{"completed", sum(all, "campaignd_campaigns", "state", "completed"), 1},
		{"holds", sum(all, "campaignd_holds"), 0},
		{"leased", sum(all, "campaignd_channel_leased_messages_per_second"), 1000},
		{"share", sum(all, "campaignd_channel_share_messages_per_second"), 1000},
		{"usable", sum(all, "campaignd_channel_usable_messages_per_second"), 1000},
		{"nodes", sum(all, "campaignd_nodes", "state", "running"), 1},
		{"ready", sum(all, "campaignd_node_ready"), 1},
		{"overview", sum(all, "campaignd_overview_up"), 1},
		{"errors in the log", sum(all, "campaignd_log_records_total", "level", "error"), 0},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	// sent, delivered and read of everybody, and repetitions.
	if n := sum(all, "campaignd_webhook_statuses_total", "channel", "sales"); n < 900 {
		t.Errorf("%v statuses for 300 messages that were read", n)
	}
	// An idle channel is asked too.
	if n := sum(all, "campaignd_send_stage_seconds_count", "stage", "limiter"); n < 300 {
		t.Errorf("%v waits for 300 messages", n)
	}
	if sum(all, "campaignd_pool_max_connections") != 20 || sum(all, "campaignd_pool_acquires_total") < 10 || sum(all, "go_goroutines") < 1 ||
		sum(all, "process_cpu_seconds_total") <= 0 {
		t.Error("the process or its connections are not told of")
	}
	w.nothingPersonal(all, text)

	w.ctl(0, "channel", "pause", "sales", "--reason", "call +12042000001 first")
	time.Sleep(5100 * time.Millisecond)
	all, text = scrape(t, address)
	documented(t, text)
	if sum(all, "campaignd_holds", "scope", "channel", "source", "person") != 1 || sum(all, "campaignd_channel_held", "channel", "sales") != 1 {
		t.Error("a channel that a person paused is not shown as held")
	}
	w.nothingPersonal(all, text)
	w.stop(d)
	if _, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		t.Error("metrics are still served after the stop")
	}
}

// documented holds a scrape against docs/operating.md, both ways: alerts over a
// metric that is not there never ring.
func documented(t *testing.T, text string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	told, named := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (campaignd_\w+) (\w+)$`).FindAllStringSubmatch(text, -1) {
		told[m[1]] = true
	}
	for _, name := range regexp.MustCompile(`campaignd_\w+`).FindAllString(string(page), -1) {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base := strings.TrimSuffix(name, suffix); told[base] {
				name = base
			}
		}
		named[name] = true
		if !told[name] {
			t.Errorf("docs/operating.md names %s, which no scrape has", name)
		}
	}
	for name := range told {
		if !named[name] {
			t.Errorf("docs/operating.md does not explain %s", name)
		}
	}
}

// nothingPersonal walks every name, label and text of a scrape for what must not
// leave the process: numbers, keys, secrets, parameters, what a person wrote.
func (w *world) nothingPersonal(all []series, text string) {
	w.t.Helper()
	for _, secret := range []string{"key-of-the-channel", "secret-of-the-webhook", "V-1", "Ann", "call +1", "E2E_KEY", "postgres://", w.dir} {
		if strings.Contains(text, secret) {
			w.t.Errorf("a scrape tells %q", secret)
		}
	}
	people, err := os.ReadFile(filepath.Join(w.dir, "people.csv"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, row := range strings.Split(strings.TrimSpace(string(people)), "\n")[1:] {
		if number := strings.TrimPrefix(strings.Split(row, ",")[0], "+"); strings.Contains(text, number) {
			w.t.Error("a scrape tells a person's number")
		}
	}
	// Whatever looks like a number in a label, though nobody of this test has it;
	// versions have dates in them.
	digits := regexp.MustCompile(`[0-9]{6,}`)
	allowed := map[string]bool{"channel": true, "state": true, "answer": true, "class": true, "stage": true, "result": true, "operation": true,
		"code": true, "scope": true, "source": true, "role": true, "level": true, "version": true, "le": true, "quantile": true}
	for _, s := range all {
		for label, value := range s.labels {
			if !allowed[label] {
				w.t.Errorf("%s has a label %q: is there an end of its values?", s.name, label)
			}
			if label != "version" && digits.MatchString(value) {
				w.t.Errorf("%s{%s=%q} looks like a number of somebody", s.name, label, value)
			}
		}
	}
	if len(all) < 150 {
		w.t.Errorf("only %d time series were looked at", len(all))
	}
}

func TestAnAddressForMetricsThatIsTakenIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p := w.start("campaignd", "run", "--listen", w.listen, "--metrics-listen", taken.Addr().String())
	err = <-p.done
	p.done <- err
	if err == nil || p.ProcessState.ExitCode() != 1 {
		t.Errorf("it ended with %v", err)
	}
	for _, want := range []string{"cannot serve metrics at " + taken.Addr().String(), "address already in use", "hint: give another address with --metrics-listen, or off"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("%q is not in %s", want, p.log)
		}
	}
}

// Two daemons of one machine must not need a flag: only an address that somebody
// asked for has to be free.
func TestADaemonGoesOnWithoutTheDefaultAddressForMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if taken, err := net.Listen("tcp", metricsDefault); err == nil { // or somebody else has it
		defer taken.Close()
	}
	w.stop(w.daemon())
}

func TestMetricsCanBeOff(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "off"} {
		if l, err := listenMetrics(address, true, nil); l != nil || err != nil {
			t.Errorf("%q: %v, %v", address, l, err)
		}
	}
}

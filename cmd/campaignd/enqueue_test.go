package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// admin connects as the owner of everything.
func (w *world) admin() *pgx.Conn {
	w.t.Helper()
	return w.connect(valueOf(w.env, "CAMPAIGN_DATABASE_URL"))
}

func (w *world) connect(address string) *pgx.Conn {
	w.t.Helper()
	conn, err := pgx.Connect(context.Background(), address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// login makes a login role that has what one group has, and gives the address at
// which it connects.
func (w *world) login(group string) string {
	w.t.Helper()
	name := fmt.Sprintf("pgtest_%s_%d", group, rand.Int64())
	conn := w.admin()
	if _, err := conn.Exec(context.Background(), fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD 'test' IN ROLE %s`, name, group)); err != nil {
		w.t.Fatal(err)
	}
	// Before the connection is closed, and the database dropped.
	w.t.Cleanup(func() {
		if _, err := conn.Exec(context.Background(), `DROP ROLE `+name); err != nil {
			w.t.Errorf("drop %s: %v", name, err)
		}
	})
	u, err := url.Parse(valueOf(w.env, "CAMPAIGN_DATABASE_URL"))
	if err != nil {
		w.t.Fatal(err)
	}
	u.User = url.UserPassword(name, "test")
	return u.String()
}

// as is the same world, whose programs connect as a login role of a group.
func (w *world) as(group string) *world {
	w.t.Helper()
	other := *w
	other.env = append(slices.Clone(w.env), "CAMPAIGN_DATABASE_URL="+w.login(group))
	return &other
}

const enqueueSQL = `SELECT campaign.enqueue(channel => 'sales', template => 'order_update', language => 'en_US', recipient => $1,
	parameters => '{"body.1":"1","body.2":"Monday"}', idempotency_key => $2, priority => $3)`

// A service's transaction that writes an order and enqueues its notice, rolled
// back a thousand times and committed a thousand times, with campaignd killed in
// between: the provider got exactly the committed ones, once.
func TestOrdersAndTheirNoticesCommitTogether(t *testing.T) {
	t.Parallel()
	const orders, callers = 1000, 4
	w := newWorld(t, "--profile", "clean", "--latency", "10ms", "--pace", "0.05")
	admin := w.admin()
	ctx := t.Context()
	// What a kill leaves in doubt, and the provider does not speak of, is sent again.
	if _, err := admin.Exec(ctx, `CREATE TABLE public.orders (id int PRIMARY KEY, recipient text NOT NULL); GRANT INSERT ON public.orders TO PUBLIC;
		UPDATE campaign.channels SET on_unknown = 'resend'; UPDATE campaign.settings SET value = '10' WHERE key = 'unknown_grace_seconds'`); err != nil {
		t.Fatal(err)
	}
	nodes := w.as("campaign_daemon")
	d := nodes.daemon("--max-workers", "50")

	shop := w.login("campaign_enqueuer")
	var wg sync.WaitGroup
	for caller := range callers {
		conn := w.connect(shop)
		wg.Go(func() {
			for i := caller; i < 2*orders; i += callers {
				commit, priority := i/callers%2 == 0, []string{"high", "normal", "low"}[i%3]
				recipient, key := fmt.Sprintf("+49151%08d", 70_000_000+i), fmt.Sprintf("order-%d", i)
				tx, err := conn.Begin(ctx)
				if err == nil {
					_, err = tx.Exec(ctx, `INSERT INTO public.orders VALUES ($1, $2)`, i, recipient)
				}
				for range 1 + i%2 { // some ask twice
					if err == nil {
						_, err = tx.Exec(ctx, enqueueSQL, recipient, key, priority)
					}
				}
				if err == nil && commit {
					err = tx.Commit(ctx)
				} else if err == nil {
					err = tx.Rollback(ctx)
				}
				if err != nil {
					t.Errorf("order %d: %v", i, err)
					return
				}
			}
		})
	}
	called := make(chan struct{})
	go func() { wg.Wait(); close(called) }()
	kill := func() {
		if err := d.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		d.done <- <-d.done
		d = nodes.daemon("--max-workers", "50")
	}
	kills := 0
	for over := false; !over || kills < 3; kills++ {
		time.Sleep(time.Duration(200+rand.IntN(800)) * time.Millisecond)
		kill()
		select {
		case <-called:
			over = true
		default:
		}
	}
	if t.Failed() {
		return
	}
	// The grace of what is in doubt runs from the first webhook after the start, and
	// the last kill may have been after the last order: one more message brings one.
	const last = "+4915169999999"
	if _, err := w.connect(shop).Exec(ctx, enqueueSQL, last, "last", "normal"); err != nil {
		t.Fatal(err)
	}

	var left int
	for deadline := time.Now().Add(4 * time.Minute); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		err := admin.QueryRow(ctx, `SELECT count(*) FROM campaign.messages WHERE state NOT IN ('sent', 'delivered', 'read')`).Scan(&left)
		if err != nil {
			t.Fatal(err)
		}
		if left == 0 {
			break
		}
	}
	if left > 0 {
		t.Errorf("%d messages never arrived", left)
	}
	rows, err := admin.Query(ctx, `SELECT recipient FROM public.orders`)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(stored) != orders {
		t.Fatalf("%d orders are stored, %v", len(stored), err)
	}
	posted := w.taken()
	for _, recipient := range append(stored, last) {
		if posted[recipient] != 1 {
			t.Errorf("a committed order was sent %d times", posted[recipient])
		}
		delete(posted, recipient)
	}
	if len(posted) != 0 {
		t.Errorf("%d messages were sent of orders that were rolled back", len(posted))
	}
	t.Logf("killed %d times", kills)
	w.verify()
}

// One caller's flood of normal messages does not delay another's high one, nor do
// low ones delay normal ones.
func TestFloodDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	const flood = 20_000
	w := newWorldAt(t, 20, "--profile", "clean")
	w.as("campaign_daemon").daemon()
	ctx := t.Context()
	shop, bank := w.connect(w.login("campaign_enqueuer")), w.connect(w.login("campaign_enqueuer"))
	many := func(name, priority string, n, from int) {
		t.Helper()
		begun := time.Now()
		_, err := shop.Exec(ctx, `SELECT count(*) FROM campaign.enqueue_many((SELECT jsonb_agg(jsonb_build_object('channel', 'sales', 'template', 'hello', 'language', 'en_US',
			'recipient', '+49151' || ($1::int + i), 'idempotency_key', $2::text || i, 'priority', $3::text)) FROM generate_series(1, $4::int) AS i))`, from, name, priority, n)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d %s messages enqueued in %v", n, priority, time.Since(begun))
	}
	sent := func(recipient string) time.Duration {
		t.Helper()
		begun := time.Now()
		for time.Since(begun) < time.Minute {
			if w.taken()[recipient] > 0 {
				return time.Since(begun)
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Fatalf("%s was not sent within a minute", recipient[:4])
		return 0
	}
	one := func(recipient, priority string) time.Duration {
		t.Helper()
		if _, err := bank.Exec(ctx, enqueueSQL, recipient, recipient[8:]+priority, priority); err != nil {
			t.Fatal(err)
		}
		return sent(recipient)
	}

	many("low", "low", 2_000, 10_000_000)
	time.Sleep(2 * time.Second) // some of them are on their way
	// At most what waits for the limiter already is before it: five seconds' worth.
	if took := one("+4915199999991", "normal"); took > 8*time.Second {
		t.Errorf("a normal message among 2,000 low ones took %v", took)
	}
	for i := range flood / 10_000 {
		many(fmt.Sprint("normal", i, "-"), "normal", 10_000, 20_000_000+10_000*i)
	}
	time.Sleep(2 * time.Second)
	for i := range 5 {
		if took := one(fmt.Sprintf("+491519999998%d", i), "high"); took > 2*time.Second {
			t.Errorf("a high message among %d normal ones took %v", flood, took)
		} else {
			t.Logf("a high message took %v", took)
		}
	}
}

// The daemon and campaignctl do all of their work with just the rights of their
// roles, and a viewer changes nothing.
func TestProgramsWorkWithTheRightsOfTheirRoles(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, 10, "--profile", "clean") // half a minute, so that it is not done before it is paused
	operator := w.as("campaign_operator")
	d := w.as("campaign_daemon").daemon("--message-retention", "24h")
	operator.ctl(0, "channel", "add", "second", "--phone", "+12045550101", "--base-url", w.base, "--key-ref", "env:E2E_KEY",
		"--webhook-secret-ref", "env:E2E_SECRET", "--rate", "0", "--reason", "a second number")
	operator.ctl(0, "template", "sync")
	operator.audience(400)
	operator.ctl(0, "contact", "opt-out", "+12042000004", "--reason", "called us")
	operator.ctl(0, "suppress", "add", "+12042000008")
	operator.ctl(0, "campaign", "plan", "-f", "spring.yaml")
	operator.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes", "--reason", "approved by Ann")
	operator.ctl(0, "campaign", "pause", "spring")
	operator.ctl(0, "campaign", "resume", "spring")
	operator.until("completed", func(s campaign.Status) bool { return s.State == campaign.Completed })
	operator.until("everything read", func(s campaign.Status) bool { return s.Counts[campaign.Read] == 298 })
	operator.ctl(0, "send", "--channel", "sales", "--template", "hello", "--language", "en_US", "--to", "+12045550155")
	operator.ctl(0, "webhook", "replay", "--since", "1h")
	operator.adds(400)

	viewer := w.as("campaign_viewer")
	for _, command := range []string{"campaign list", "campaign status spring", "campaign verify spring", "campaign export spring", "channel list", "template list",
		"message list --phone +12042000000", "contact show +12042000004", "list list", "suppress list", "node list", "audit list", "schedule list"} {
		viewer.ctl(0, strings.Fields(command)...)
	}
	const hidden = "hidden from this database role"
	if out := viewer.ctl(0, "contact", "show", "+12042000008"); !strings.Contains(out, hidden) {
		t.Errorf("a viewer sees of who is suppressed:\n%s", out)
	}
	if out := operator.ctl(0, "contact", "show", "+12042000008"); strings.Contains(out, hidden) || !strings.Contains(out, "suppressed") {
		t.Errorf("an operator sees of who is suppressed:\n%s", out)
	}
	for _, command := range []string{"contact opt-out +12042000012", "channel pause sales", "suppress add +12042000012", "list delete people"} {
		viewer.ctl(4, strings.Fields(command)...)
	}

	var audit []campaign.AuditEntry
	if err := json.Unmarshal([]byte(operator.ctl(0, "audit", "list", "--json")), &audit); err != nil {
		t.Fatal(err)
	}
	noted := map[string]campaign.AuditEntry{}
	for _, a := range audit {
		noted[a.Action+" "+a.Object] = a
		if a.Program != "campaignctl" || a.Action == "add" && a.Name == "second" && a.Reason != "a second number" {
			t.Errorf("%+v", a)
		}
	}
	for _, act := range []string{"add channel", "opt-out people", "suppress people", "plan campaign", "launch campaign", "pause campaign", "resume campaign", "send message", "replay channel"} {
		if _, ok := noted[act]; !ok {
			t.Errorf("not in the audit: %s", act)
		}
	}
	if a := noted["launch campaign"]; a.Reason != "approved by Ann" || a.PlanHash == "" || a.PlanHash != noted["plan campaign"].PlanHash || !strings.Contains(a.DatabaseUser, "campaign_operator") {
		t.Errorf("the launch is noted as %+v", a)
	}
	w.stop(d)
	if strings.Contains(d.log.String(), "permission denied") || strings.Contains(d.log.String(), "must be owner") {
		t.Errorf("the daemon lacks a right:\n%s", d.log)
	}
}

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/pgtest"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/simulator"
)

// world is a session with a database, a simulated provider, a channel with its
// templates and a list of three people, one of them in the US.
type world struct {
	*session
	databaseURL string
	provider    string
}

const contactsCSV = "phone,first_name,voucher\n+491701234567,Ann,A1\n+491707654321,Bob,B2\n+12125550100,Cy,C3\n"

func newWorld(t testing.TB) *world {
	t.Helper()
	w := emptyWorld(t)
	w.want(0, "channel", "add", "sales", "--phone", "+4930123456", "--base-url", w.provider,
		"--key-ref", "env:D360_KEY", "--webhook-secret-ref", "env:WEBHOOK_SECRET", "--rate", "50")
	w.want(0, "template", "sync")
	w.want(0, "contact", "import", w.write("vips.csv", contactsCSV), "--list", "vips", "--opted-in", "test")
	return w
}

// emptyWorld has the database and the provider only.
func emptyWorld(t testing.TB) *world {
	t.Helper()
	url := pgtest.URL(t)
	provider := startSimulator(t)
	s := newSession(t).with("CAMPAIGN_DATABASE_URL="+url, "D360_KEY=the-key", "WEBHOOK_SECRET=the-secret")
	return &world{s, url, provider}
}

func startSimulator(t testing.TB) string {
	t.Helper()
	sim, err := simulator.New(simulator.Config{Key: "the-key", Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sim.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the simulator ended with %v", err)
		}
	})
	select {
	case <-sim.Ready():
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	return sim.URL()
}

// store opens the world's database in this process, to do what a daemon does.
func (w *world) store() *postgres.Store {
	w.t.Helper()
	pool, err := postgres.Connect(context.Background(), w.databaseURL, postgres.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(pool.Close)
	s, err := postgres.Open(context.Background(), pool)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// work does a daemon's work on a campaign whose messages have had at most one
// turn: every answer of the provider is the given one.
func (w *world) work(name string, answer campaign.Answer) {
	w.t.Helper()
	ctx := context.Background()
	s := w.store()
	c, err := s.Campaign(ctx, name)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := s.FanOut(ctx, c.ChannelID, 1000, 1000); err != nil {
		w.t.Fatal(err)
	}
	for i := range 2 * (c.LastID - c.FirstID + 1) {
		// The claim of a turn that the message is not at does nothing.
		id, attempt := c.FirstID+i/2, int(i%2)+1
		turn := campaign.Turn{Message: id, Attempt: attempt, Campaign: c.ID, Channel: c.ChannelID}
		binary.BigEndian.PutUint64(turn.Claim[:], uint64(id))
		turn.Claim[8] = byte(attempt)
		claimed, err := s.Claim(ctx, []campaign.Turn{turn})
		if err != nil {
			w.t.Fatal(err)
		}
		if !claimed[0].OK {
			continue // skipped by the plan
		}
		if err := s.Record(ctx, []campaign.Outcome{{Turn: turn, Answer: answer}}); err != nil {
			w.t.Fatal(err)
		}
	}
	if _, err := s.Complete(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// refusingServer speaks enough of Postgres' protocol to refuse a password.
func refusingServer(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				r := bufio.NewReader(conn)
				for {
					var head [4]byte
					if _, err := io.ReadFull(r, head[:]); err != nil {
						return
					}
					body := make([]byte, binary.BigEndian.Uint32(head[:])-4)
					if _, err := io.ReadFull(r, body); err != nil {
						return
					}
					if len(body) == 4 { // a request for encryption
						conn.Write([]byte{'N'})
						continue
					}
					fields := "SFATAL\x00C28P01\x00Mpassword authentication failed for user \"ann\"\x00\x00"
					message := append([]byte{'E'}, binary.BigEndian.AppendUint32(nil, uint32(len(fields)+4))...)
					conn.Write(append(message, fields...))
					return
				}
			}()
		}
	}()
	return l.Addr().String()
}

// campaignFile is a campaign that the simulator's templates and the world's list
// can make.
const campaignFile = `name: spring
channel: sales
template: {name: spring_sale, language: en_US}
audience: {list: vips}
parameters:
  body.1: {column: first_name, default: there}
  body.2: {column: voucher}
  button.0: {column: voucher}
`

func replaced(file string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(file)
}

func (w *world) plan(file string) string {
	w.t.Helper()
	name := w.write(fmt.Sprintf("%d.yaml", time.Now().UnixNano()), file)
	w.want(0, "campaign", "plan", "-f", name)
	return name
}

package torture

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between two programs and spoils their connections: it cuts them
// between and within what is said, in both directions, delays, falls silent, and
// refuses. A reply that it cuts off has been given: that is how a claim commits
// while its worker hears nothing, and how a message is taken while its sender
// sees a reset.
type proxy struct {
	listener net.Listener
	dial     func() (net.Conn, error)
	cutting  atomic.Int64 // a piece of data is lost with its connection once in so many, and late four times; 0 never
	closed   atomic.Bool  // refuses and ends every connection
	cuts     atomic.Int64
	mu       sync.Mutex
	links    map[*link]bool
}

// link is one connection through the proxy.
type link struct {
	client, target net.Conn
	silent         atomic.Bool
}

func (l *link) cut() {
	for _, conn := range []net.Conn{l.client, l.target} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not an end in order
		}
		_ = conn.Close()
	}
}

func newProxy(dial func() (net.Conn, error)) (*proxy, error) {
	listener, err := listen()
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, dial: dial, links: map[*link]bool{}}
	go p.serve()
	return p, nil
}

var givenPorts sync.Map

// listen takes a port below those that the system gives to outgoing connections,
// and above those of the tests of campaignd, so that nobody else has taken it when
// a killed program comes back. None is given twice.
func listen() (net.Listener, error) {
	err := errors.New("no port is free")
	for range 1000 {
		var l net.Listener
		port := 20_000 + rand.IntN(12_000)
		if _, given := givenPorts.LoadOrStore(port, true); given {
			continue
		}
		if l, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}); err == nil {
			return l, nil
		}
	}
	return nil, err
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) close() {
	_ = p.listener.Close()
	p.cut(1)
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.join(client)
	}
}

func (p *proxy) join(client net.Conn) {
	if p.closed.Load() {
		(&link{client: client, target: client}).cut()
		return
	}
	target, err := p.dial()
	if err != nil {
		(&link{client: client, target: client}).cut() // the target is away: so are we
		return
	}
	l := &link{client: client, target: target}
	p.mu.Lock()
	p.links[l] = true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pass(l, client, target) })
	both.Go(func() { p.pass(l, target, client) })
	both.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// pass carries what one side says to the other until either is gone.
func (p *proxy) pass(l *link, from, to net.Conn) {
	defer l.client.Close()
	defer l.target.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !l.silent.Load() {
			every := p.cutting.Load()
			if every > 0 && rand.Int64N(every) < 4 {
				time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
			}
			if every > 0 && rand.Int64N(every) == 0 {
				p.cuts.Add(1)
				// A part of it gets through, perhaps all or nothing; an end in order shows
				// the reader what came, a reset does not.
				_, _ = to.Write(buffer[:rand.IntN(n+1)])
				if rand.IntN(2) == 0 {
					l.cut()
				}
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// some picks links, each with the given probability.
func (p *proxy) some(share float64) []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []*link
	for l := range p.links {
		if rand.Float64() < share {
			list = append(list, l)
		}
	}
	return list
}

// cut ends a share of the connections and says how many.
func (p *proxy) cut(share float64) int {
	list := p.some(share)
	for _, l := range list {
		l.cut()
	}
	p.cuts.Add(int64(len(list)))
	return len(list)
}

// cutUpTo ends at most n connections.
func (p *proxy) cutUpTo(n int) {
	for _, l := range p.some(1) {
		if n--; n < 0 {
			return
		}
		p.cuts.Add(1)
		l.cut()
	}
}

// silence makes a share of the connections lose all that is said, and ends them
// after a while: what a firewall does that forgot them.
func (p *proxy) silence(share float64, most int, d time.Duration) {
	list := p.some(share)
	list = list[:min(most, len(list))]
	for _, l := range list {
		l.silent.Store(true)
	}
	time.AfterFunc(d, func() {
		for _, l := range list {
			p.cuts.Add(1)
			l.cut()
		}
	})
}

// away makes the target unreachable for a while.
func (p *proxy) away(d time.Duration) {
	p.closed.Store(true)
	p.cut(1)
	time.Sleep(d)
	p.closed.Store(false)
}

func TestProxySpoilsConnections(t *testing.T) {
	t.Parallel()
	echo, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
		}
	}()
	p, err := newProxy(func() (net.Conn, error) { return net.Dial("tcp", echo.Addr().String()) })
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	says := func() error {
		conn, err := net.Dial("tcp", p.addr())
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Write([]byte("hello")); err != nil {
			return err
		}
		_, err = io.ReadFull(conn, make([]byte, 5))
		return err
	}
	if err := says(); err != nil {
		t.Errorf("undisturbed: %v", err)
	}
	p.cutting.Store(1)
	failed := 0
	for range 20 {
		if says() != nil {
			failed++
		}
	}
	if failed == 0 || p.cuts.Load() == 0 {
		t.Errorf("%d of 20 connections failed, %d cut", failed, p.cuts.Load())
	}
	p.cutting.Store(0)
	p.closed.Store(true)
	if says() == nil {
		t.Error("a connection through a closed proxy")
	}
	p.closed.Store(false)
	if err := says(); err != nil {
		t.Errorf("open again: %v", err)
	}
}

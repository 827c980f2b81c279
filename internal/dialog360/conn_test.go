package dialog360

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// pair gives both ends of a TCP connection on loopback.
func pair(t *testing.T) (ours *wireConn, theirs *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close(); accepted.Close() })
	return &wireConn{Conn: dialled}, accepted.(*net.TCPConn)
}

// eventually waits for what the kernel does in its own time.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 5 s", what)
		}
	}
}

func TestWireConnGone(t *testing.T) {
	t.Parallel()

	t.Run("Open", func(t *testing.T) {
		t.Parallel()

		ours, _ := pair(t)
		if ours.gone(true) || ours.gone(false) {
			t.Error("an open connection is gone")
		}
	})
	t.Run("WhileTheTransportReads", func(t *testing.T) {
		t.Parallel()

		// The transport's reader sits in a read: the look must not wait for it.
		ours, theirs := pair(t)
		read := make(chan struct{})
		go func() { io.Copy(io.Discard, ours); close(read) }()
		time.Sleep(5 * time.Millisecond)
		if ours.gone(true) {
			t.Error("an open connection is gone")
		}
		theirs.Close()
		<-read
		if !ours.gone(true) {
			t.Error("a connection that was read to its end is there")
		}
	})
	t.Run("Closed", func(t *testing.T) {
		t.Parallel()

		ours, theirs := pair(t)
		theirs.Close()
		eventually(t, "gone", func() bool { return ours.gone(false) })
	})
	t.Run("Reset", func(t *testing.T) {
		t.Parallel()

		ours, theirs := pair(t)
		theirs.SetLinger(0)
		theirs.Close()
		eventually(t, "gone", func() bool { return ours.gone(false) })
	})
	t.Run("ClosedByUs", func(t *testing.T) {
		t.Parallel()

		ours, _ := pair(t)
		ours.Close()
		if !ours.gone(false) {
			t.Error("our own closed connection is there")
		}
	})
	t.Run("BytesNobodyAskedFor", func(t *testing.T) {
		t.Parallel()

		ours, theirs := pair(t)
		io.WriteString(theirs, "HTTP/1.1 408 Request Timeout\r\n\r\n")
		eventually(t, "gone after idling", func() bool { return ours.gone(true) })
		if ours.gone(false) {
			t.Error("bytes on a new connection (a TLS ticket) count as its end")
		}
		if b := make([]byte, 4); func() error { _, err := io.ReadFull(ours, b); return err }() != nil || string(b) != "HTTP" {
			t.Error("the look took bytes away")
		}
	})
}

func TestWireOfFindsOurConnection(t *testing.T) {
	t.Parallel()

	ours, theirs := pair(t)
	if wireOf(ours) != ours || wireOf(tls.Client(tls.Client(ours, nil), nil)) != ours {
		t.Error("not found under TLS")
	}
	if wireOf(theirs) != nil {
		t.Error("found where there is none")
	}
}

// refusing is a connection whose kernel takes some bytes and then none.
type refusing struct {
	net.Conn
	takes int
}

func (r *refusing) Write(p []byte) (int, error) {
	n := min(r.takes, len(p))
	r.takes -= n
	return n, &net.OpError{Op: "write", Err: syscall.EPIPE}
}

func TestPostKnowsWhatTheKernelTook(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]struct {
		takes int
		want  campaign.AnswerKind
	}{
		"Nothing": {0, campaign.AnswerUnreachable},
		"OneByte": {1, campaign.AnswerInDoubt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			conn := &wireConn{Conn: &refusing{takes: test.takes}}
			conn.written.Store(500) // it has served before
			p := &post{payload: []byte("{}"), conn: conn, validity: campaign.NewValidity(time.Now(), time.Minute, time.Now)}
			p.reader.Reset(p.payload)
			body, err := io.ReadAll(p)
			if err != nil {
				t.Fatal(err)
			}
			_, err = conn.Write(body)
			if answer := p.unanswered(t.Context(), err); answer.Kind != test.want {
				t.Errorf("answer %s, want %s", answer.Kind, test.want)
			}
		})
	}
}

func TestPostDoesNotBeginOnADeadConnection(t *testing.T) {
	t.Parallel()

	ours, theirs := pair(t)
	theirs.Close()
	eventually(t, "gone", func() bool { return ours.gone(true) })
	p := &post{payload: []byte("{}"), conn: ours, reused: true, validity: campaign.NewValidity(time.Now(), time.Minute, time.Now)}
	p.reader.Reset(p.payload)
	if n, err := p.Read(make([]byte, 9)); n != 0 || !errors.Is(err, errStale) {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if !p.drop() || p.validity.Written() {
		t.Error("the claim was used")
	}
	// A later read of the same body gives nothing either, though the claim is
	// still fresh for the next connection.
	if n, err := p.Read(make([]byte, 9)); n != 0 || err == nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if !p.validity.Begin() {
		t.Error("the claim is no longer good for another connection")
	}
}

func TestPlainHoldsNothingOfTheOtherSide(t *testing.T) {
	t.Parallel()

	err := plain(errors.New(`malformed HTTP response "+16505551234"`))
	if err.Error() != "the connection failed or the answer is no HTTP" {
		t.Errorf("error %v", err)
	}
}

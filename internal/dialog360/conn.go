package dialog360

import (
	"crypto/tls"
	"net"
	"sync/atomic"
)

// wireConn is the connection below TLS. It knows how many bytes the kernel took,
// which is what "nothing was written" means.
type wireConn struct {
	net.Conn
	written atomic.Int64
	broken  atomic.Bool // a write failed; none succeeds after it
}

func (c *wireConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	if err != nil {
		c.broken.Store(true)
	}
	return n, err
}

// wireOf finds our connection under the layers of TLS; nil when there is none.
func wireOf(c net.Conn) *wireConn {
	for {
		switch layer := c.(type) {
		case *wireConn:
			return layer
		case *tls.Conn:
			c = layer.NetConn()
		default:
			return nil
		}
	}
}

// gone reports whether the other side has closed the connection, as far as the
// kernel knows. On a connection that idled, waiting bytes mean the same: nothing
// was asked, so they announce the end (a TLS close alert, a 408).
func (c *wireConn) gone(idled bool) bool {
	closed, waiting := peek(c.Conn)
	return closed || waiting && idled
}

//go:build unix && !aix && !solaris && !illumos

package dialog360

import (
	"errors"
	"net"
	"syscall"
)

// peek looks at a socket without reading from it or waiting for it. The reading
// side belongs to the transport, which sits in a read: Control does not wait for
// it, and MSG_PEEK takes nothing from it.
func peek(c net.Conn) (closed, waiting bool) {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return false, false
	}
	control, err := socket.SyscallConn()
	if err != nil {
		return true, false
	}
	err = control.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		case err != nil, n == 0:
			closed = true
		default:
			waiting = true
		}
	})
	return closed || err != nil, waiting
}

//go:build unix

package forward

import (
	"crypto/tls"
	"net"
	"syscall"
)

// look finds out, without reading, whether the peer of an idle connection has
// closed it or said something unasked for; either makes it useless, and the
// latter would pass for the answer to the next request. It costs one system
// call and no memory.
type look struct {
	raw   syscall.RawConn // nil: can't look
	peek  func(fd uintptr)
	still bool
}

// at prepares to look at conn.
func (l *look) at(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := sc.SyscallConn(); err == nil {
		l.raw, l.peek = raw, l.peekAt
	}
}

// quiet reports whether the connection is open and silent. It uses Control
// because Read fails when the deadline of an earlier exchange has passed.
func (l *look) quiet() bool {
	if l.raw == nil {
		return true
	}
	l.still = false
	return l.raw.Control(l.peek) == nil && l.still
}

func (l *look) peekAt(fd uintptr) {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	l.still = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
}

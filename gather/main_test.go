package gather

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is the two ends of a connection over loopback.
func pair(t testing.TB) (conn, peer *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn, peer = accepted.(*net.TCPConn), dialled.(*net.TCPConn)
	t.Cleanup(func() { conn.Close(); peer.Close() })
	peer.SetDeadline(time.Now().Add(time.Minute))
	return conn, peer
}

// gathered is a Conn over loopback that gathers already, and soon has no room for more.
func gathered(t testing.TB) (c *Conn, peer *net.TCPConn) {
	t.Helper()
	conn, peer := pair(t)
	c = New(conn)
	c.Gather()
	c.LimitUnsent(Unsent)
	return c, peer
}

// counted is a socket that counts the system calls which write to it.
type counted struct {
	*net.TCPConn
	calls atomic.Int64
}

func (c *counted) SyscallConn() (syscall.RawConn, error) {
	raw, err := c.TCPConn.SyscallConn()
	return countedRaw{raw, &c.calls}, err
}

func (c *counted) Write(p []byte) (int, error) {
	c.calls.Add(1)
	return c.TCPConn.Write(p)
}

type countedRaw struct {
	syscall.RawConn
	calls *atomic.Int64
}

func (r countedRaw) Control(f func(uintptr)) error {
	return r.RawConn.Control(func(fd uintptr) { r.calls.Add(1); f(fd) })
}

func (r countedRaw) Write(f func(uintptr) bool) error {
	return r.RawConn.Write(func(fd uintptr) bool { r.calls.Add(1); return f(fd) })
}

// stream makes bytes that say where in their stream they belong.
type stream struct{ at uint64 }

// next gives the next n bytes, a multiple of eight.
func (s *stream) next(n int) []byte {
	var b []byte
	for ; len(b) < n; s.at++ {
		b = binary.BigEndian.AppendUint64(b, s.at)
	}
	return b
}

// check reads n bytes of a stream from its beginning.
func check(t testing.TB, r io.Reader, n int) {
	t.Helper()
	var s stream
	got := make([]byte, 1<<10)
	for n > 0 {
		part := got[:min(n, len(got))]
		if _, err := io.ReadFull(r, part); err != nil {
			t.Errorf("%d bytes are missing: %v", n, err)
			return
		}
		if at := s.at; !bytes.Equal(part, s.next(len(part))) {
			t.Errorf("other bytes in the KiB behind %d", at*8)
			return
		}
		n -= len(part)
	}
}

// fill writes until the socket has no room.
func fill(t testing.TB, c *Conn, s *stream) (n int) {
	t.Helper()
	for {
		p := s.next(64 << 10)
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
		n += len(p)
		left, err := c.Flush()
		if err != nil {
			t.Fatal(err)
		}
		if left > 0 || c.raw == nil {
			return n
		}
	}
}

package gather

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// Before Gather a Conn is what it wraps: nothing waits, and all can be asked of it.
func TestPassThrough(t *testing.T) {
	conn, peer := pair(t)
	c := New(conn)
	if _, err := c.Write([]byte("now")); err != nil || c.Pending() != 0 {
		t.Fatalf("%d bytes wait, %v", c.Pending(), err)
	}
	if left, err := c.Flush(); left != 0 || err != nil || c.Drain(time.Minute) != nil {
		t.Errorf("%d are left, %v", left, err)
	}
	if raw, err := c.SyscallConn(); err != nil || raw.Control(func(uintptr) {}) != nil {
		t.Errorf("the socket can't be asked: %v", err)
	}
	if Of(struct{ *Conn }{c}) != nil || Of(outer{outer{c}}) != c || Of(conn) != nil || c.NetConn() != conn {
		t.Error("it is not found where it is, or is where it is not")
	}
	c.SetDeadline(time.Unix(1, 0))
	for what, do := range map[string]func([]byte) (int, error){"read": c.Read, "write": c.Write} {
		if _, err := do(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a %s after the deadline: %v", what, err)
		}
	}
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(peer); string(b) != "now" || err != nil {
		t.Errorf("the peer reads %q, %v", b, err)
	}
}

// outer is a connection that wraps another, as tls.Conn does.
type outer struct{ net.Conn }

func (o outer) NetConn() net.Conn { return o.Conn }

// An accepted connection is a Conn.
func TestListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	c, err := Listener{l}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	l.Close()
	if _, err := (Listener{l}).Accept(); Of(c) == nil || !errors.Is(err, net.ErrClosed) {
		t.Errorf("%T; once closed: %v", c, err)
	}
}

// What was written waits for Flush, and goes out by one system call.
func TestFlush(t *testing.T) {
	conn, peer := pair(t)
	count := &counted{TCPConn: conn}
	c := New(count)
	c.Gather()
	var s stream
	for range 5 {
		c.Write(s.next(1000))
	}
	if n := count.calls.Load(); n != 0 || c.Pending() != 5000 {
		t.Fatalf("%d calls before Flush, and %d bytes wait", n, c.Pending())
	}
	if c.raw == nil {
		t.Skip("this system has no call that doesn't wait")
	}
	if left, err := c.Flush(); left != 0 || err != nil || count.calls.Load() != 1 || c.buf.mem != nil {
		t.Errorf("%d calls, %d left, %v", count.calls.Load(), left, err)
	}
	check(t, peer, 5000)
	if left, err := c.Flush(); left != 0 || err != nil || count.calls.Load() != 1 {
		t.Errorf("with nothing to send: %d calls, %d left, %v", count.calls.Load(), left, err)
	}
}

// A peer reads nothing and then all, while more is written and flushed beside Drain: each
// byte arrives once, in order.
func TestOrder(t *testing.T) {
	for name, c := range ends(t) {
		t.Run(name, func(t *testing.T) {
			var s stream
			n := fill(t, c.Conn, &s)
			var wg sync.WaitGroup
			defer wg.Wait()
			drained := make(chan error, 1)
			wg.Go(func() { drained <- c.Drain(time.Minute) })
			for range 200 {
				p := s.next(8 * (1 + rand.IntN(300)))
				if _, err := c.Write(p); err != nil {
					t.Fatal(err)
				}
				n += len(p)
				if rand.IntN(4) == 0 {
					c.Flush()
				}
			}
			check(t, c.peer, n)
			if err := <-drained; err != nil || c.Pending() != 0 {
				t.Errorf("%v, and %d bytes wait", err, c.Pending())
			}
		})
	}
}

type end struct {
	*Conn
	peer net.Conn
}

// ends are a socket, and a connection that only Drain can send on.
func ends(t *testing.T) map[string]end {
	socket, peer := gathered(t)
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	b.SetDeadline(time.Now().Add(time.Minute))
	pipe := New(a)
	pipe.Gather()
	return map[string]end{"socket": {socket, peer}, "pipe": {pipe, b}}
}

// Drain gives up when the socket takes nothing, or at the deadline, and can be called again.
func TestDrain_GivesUp(t *testing.T) {
	for name, c := range ends(t) {
		t.Run(name, func(t *testing.T) {
			var s stream
			n := fill(t, c.Conn, &s)
			if err := c.Drain(30 * time.Millisecond); !errors.Is(err, ErrStalled) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("stalled: %v", err)
			}
			c.SetWriteDeadline(time.Unix(1, 0))
			if err := c.Drain(time.Hour); errors.Is(err, ErrStalled) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after the deadline: %v", err)
			}
			c.SetWriteDeadline(time.Time{})
			gone := make(chan error, 1)
			go func() { gone <- c.Drain(0) }()
			c.SetWriteDeadline(time.Unix(1, 0))
			if err := <-gone; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a deadline set beside Drain: %v", err)
			}
			c.SetWriteDeadline(time.Time{})
			go func() { gone <- c.Drain(time.Minute) }()
			check(t, c.peer, n)
			if err := <-gone; err != nil || c.Pending() != 0 {
				t.Errorf("%v, and %d bytes wait", err, c.Pending())
			}
		})
	}
}

// A peer that reads slowly has not stalled: each wait has its own bound.
func TestDrain_Slow(t *testing.T) {
	c, _ := gathered(t)
	c.sent = 1
	if err := c.judge(os.ErrDeadlineExceeded, 0); err != nil {
		t.Errorf("some bytes went out: %v", err)
	}
	if err := c.judge(os.ErrDeadlineExceeded, 1); !errors.Is(err, ErrStalled) {
		t.Errorf("no byte went out: %v", err)
	}
}

// Close ends a Drain that waits, and all that comes later.
func TestClose_BesideDrain(t *testing.T) {
	for name, c := range ends(t) {
		t.Run(name, func(t *testing.T) {
			fill(t, c.Conn, &stream{})
			gone := make(chan error, 1)
			go func() { gone <- c.Drain(time.Hour) }()
			c.Close()
			if err := <-gone; !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("Drain: %v", err)
			}
			if _, err := c.Write([]byte("x")); err == nil || c.Pending() != 0 || c.buf.mem != nil {
				t.Errorf("Write: %v, and %d bytes wait", err, c.Pending())
			}
			if _, err := c.Flush(); err == nil || c.Drain(time.Hour) == nil || c.CloseWrite() == nil {
				t.Errorf("Flush: %v", err)
			}
			c.Close()
		})
	}
}

// Close sends what the socket has room for.
func TestClose_Sends(t *testing.T) {
	c, peer := gathered(t)
	if c.raw == nil {
		t.Skip("this system has no call that doesn't wait")
	}
	c.SetWriteDeadline(time.Unix(1, 0)) // as tls.Conn does
	c.Write([]byte("the last"))
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(peer); string(b) != "the last" || err != nil {
		t.Errorf("the peer reads %q, %v", b, err)
	}
}

// CloseWrite lets what was written before it go first, and nothing be written after it.
func TestCloseWrite(t *testing.T) {
	c, peer := gathered(t)
	var s stream
	n := fill(t, c, &s)
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("a write after it")
	}
	gone := make(chan error, 1)
	go func() { gone <- c.Drain(time.Minute) }()
	check(t, peer, n)
	if k, err := peer.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the peer reads %d bytes, %v", k, err)
	}
	if err := <-gone; err != nil {
		t.Error(err)
	}

	if c, peer = gathered(t); c.CloseWrite() != nil {
		t.Error("it failed with nothing to send")
	}
	if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("with nothing to send: %v", err)
	}
	if a, _ := net.Pipe(); !errors.Is(New(a).CloseWrite(), errors.ErrUnsupported) {
		t.Error("a pipe has no half-close")
	}
}

// A connection that broke says so to whoever flushes, drains or writes next.
func TestBroken(t *testing.T) {
	c, peer := gathered(t)
	n := fill(t, c, &stream{})
	gone := make(chan error, 1)
	go func() { gone <- c.Drain(time.Minute) }()
	peer.SetLinger(0)
	peer.Close()
	err := <-gone
	if op := (*net.OpError)(nil); !errors.As(err, &op) || op.Op != "write" || errors.Is(err, ErrStalled) {
		t.Errorf("of %d bytes: %v", n, err)
	}
	if _, again := c.Write([]byte("x")); again == nil || c.Pending() != 0 {
		t.Errorf("a write: %v, and %d bytes wait", again, c.Pending())
	}
}

// No peer makes more wait than maxGathered.
func TestFull(t *testing.T) {
	c, _ := gathered(t)
	for range 4 {
		if _, err := c.Write(make([]byte, maxGathered/4)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, ErrFull) || c.Pending() != maxGathered {
		t.Errorf("%d bytes more, %v, and %d wait", n, err, c.Pending())
	}
}

// The buffer holds what a model holds, and no more memory than that needs once it shrank.
func TestBuffer(t *testing.T) {
	var b buffer
	var model bytes.Buffer
	var s stream
	for range 3000 {
		switch p := s.next(8 * rand.IntN(4000)); rand.IntN(3) {
		case 0:
			if model.Len()+len(p) <= maxGathered {
				model.Write(p)
				b.append(p)
			}
		case 1:
			n := rand.IntN(1 + model.Len())
			model.Next(n)
			b.skip(n)
		default:
			if b.shrink(); b.mem != nil && cap(*b.mem) != room[class(b.len())] {
				t.Fatalf("%d bytes in %d", b.len(), cap(*b.mem))
			}
		}
		if !bytes.Equal(b.bytes(), model.Bytes()) || b.len() != model.Len() || b.len() == 0 && b.mem != nil {
			t.Fatalf("%d bytes, and not %d", b.len(), model.Len())
		}
	}
}

// Package gather is a connection whose writes are put together and sent by few system
// calls that never wait. Below TLS it makes one call of many records.
//
// What lives here: the bytes that wait, how they go to the socket, and how long a socket
// may take none. What may not: what the bytes mean, and who writes next. It imports the
// standard library and x/sys only; h2, edgesvc/edge/front and daemon/forward import it.
package gather

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxGathered bounds what waits at one connection. A batch of HTTP/2 is a fraction of it.
// What else comes is TLS's own: it answers each key update of a peer, and a peer that sends
// many and reads nothing would otherwise fill the memory.
const maxGathered = 1 << 20

// Unsent is for LimitUnsent where small and urgent bytes come between large ones. At 100
// Mbit/s they wait for 17 ms then, and 100 without a limit; at 1 Gbit/s for 3 ms and 20. The
// large ones are as fast either way. Of 128 KiB it is 23 and 4 ms, and less than 64 KiB gains
// nothing.
const Unsent = 64 << 10

var (
	// ErrStalled says that the socket took nothing for as long as Drain was told.
	ErrStalled = errors.New("the peer takes nothing")
	// ErrFull says that more waits than one connection may hold.
	ErrFull = errors.New("too much waits to be sent")
)

// Conn is a connection whose writes can be gathered. Until Gather is called it passes
// everything on. It is safe for concurrent use.
type Conn struct {
	net.Conn
	gathers atomic.Bool
	raw     syscall.RawConn // nil where only Drain can send
	try     func(fd uintptr)
	advance func(fd uintptr) bool

	drains sync.Mutex // held by Drain

	mu      sync.Mutex
	buf     buffer
	writing int    // bytes that writeOut has taken from buf
	sent    uint64 // bytes that the socket took
	shut    bool   // CloseWrite was called
	err     error  // why nothing goes out any more
	until   time.Time
	stallAt time.Time // when Drain gives up
}

// New makes a Conn of a connection.
func New(c net.Conn) *Conn { return &Conn{Conn: c} }

// Listener makes a Conn of each connection that it accepts.
type Listener struct{ net.Listener }

// Accept implements net.Listener. The connection is a *Conn.
func (l Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return New(c), nil
}

// Of finds the Conn below what wraps it, or nil.
func Of(c net.Conn) *Conn {
	for {
		if own, ok := c.(*Conn); ok {
			return own
		}
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = outer.NetConn()
	}
}

// NetConn is the connection that is written to.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// SyscallConn gives the socket to whoever asks it something. Who writes there writes past
// what was gathered.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Gather has each Write from now on only append to what waits. Nothing goes out before
// Flush or Drain. No Write may be under way, and there is no way back.
func (c *Conn) Gather() {
	if c.gathers.Load() {
		return
	}
	if s, ok := c.Conn.(syscall.Conn); ok && canTry {
		if raw, err := s.SyscallConn(); err == nil {
			c.raw, c.try, c.advance = raw, c.send, c.sendSome
		}
	}
	c.gathers.Store(true)
}

// Write appends p to what waits, once Gather was called. It never waits then.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.gathers.Load() {
		return c.Conn.Write(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return 0, c.err
	case c.shut:
		return 0, c.opError(syscall.EPIPE)
	case c.pending()+len(p) > maxGathered:
		return 0, ErrFull
	}
	c.buf.append(p)
	return len(p), nil
}

// Pending is how many bytes wait.
func (c *Conn) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending()
}

func (c *Conn) pending() int { return c.buf.len() + c.writing }

// Flush makes one system call, which takes what the socket has room for and doesn't wait.
// left is how many bytes wait still: Drain is for those. No deadline ends it. Where the
// system offers no such call it takes nothing.
func (c *Conn) Flush() (left int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && c.raw != nil && c.buf.len() > 0 {
		if err := c.raw.Control(c.try); err != nil {
			c.fail(err)
		}
		c.buf.shrink()
	}
	return c.pending(), c.err
}

// send hands the socket what waits. The lock is held.
func (c *Conn) send(fd uintptr) {
	n, err := write(fd, c.buf.bytes())
	if n > 0 {
		c.buf.skip(n)
		c.sent += uint64(n)
	}
	if err != nil {
		c.fail(c.opError(os.NewSyscallError("write", err)))
		return
	}
	c.halfClose()
}

// sendSome is send for who waits, and reports whether the wait is over.
func (c *Conn) sendSome(fd uintptr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.buf.len() == 0 {
		return true
	}
	before := c.sent
	c.send(fd)
	c.buf.shrink()
	return c.err != nil || c.sent != before
}

// fail ends sending for good. The lock is held.
func (c *Conn) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.buf.release()
}

// opError is an error as package net would have it.
func (c *Conn) opError(err error) error {
	return &net.OpError{Op: "write", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Drain waits until nothing is left to be sent, also of what is written meanwhile. It fails
// with ErrStalled when the socket takes nothing for stall, if that isn't zero, and with
// os.ErrDeadlineExceeded at the deadline for writes. After both it may be called again.
// tls.Conn.CloseWrite leaves a deadline behind that has passed: who drains after that takes
// it back first.
func (c *Conn) Drain(stall time.Duration) error {
	c.drains.Lock()
	defer c.drains.Unlock()
	for {
		before, more, err := c.prepare(stall)
		if !more {
			return err
		}
		if c.raw != nil {
			err = c.raw.Write(c.advance)
		} else {
			err = c.writeOut()
		}
		if err = c.judge(err, before); err != nil {
			return err
		}
	}
}

// prepare moves the deadline for the next wait, and reports whether there is one.
func (c *Conn) prepare(stall time.Duration) (sent uint64, more bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.pending() == 0 {
		return 0, false, c.err
	}
	return c.sent, true, c.extend(stall)
}

// extend moves the time at which Drain gives up, unless it is nearly far enough away: each
// move costs a timer. The lock is held.
func (c *Conn) extend(stall time.Duration) error {
	if stall <= 0 {
		if c.stallAt.IsZero() {
			return nil
		}
		c.stallAt = time.Time{}
		return c.setDeadline()
	}
	want := time.Now().Add(stall)
	if ahead := want.Sub(c.stallAt); ahead >= 0 && ahead <= stall/16 {
		return nil
	}
	c.stallAt = want
	return c.setDeadline()
}

// setDeadline sets the deadline that is in force: who set one, and Drain, each have theirs.
// The lock is held.
func (c *Conn) setDeadline() error {
	at := c.stallAt
	if at.IsZero() || !c.until.IsZero() && c.until.Before(at) {
		at = c.until
	}
	return c.Conn.SetWriteDeadline(at)
}

// judge says what the end of a wait means for Drain.
func (c *Conn) judge(err error, before uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case !c.until.IsZero() && !time.Now().Before(c.until):
		return err
	case c.sent != before:
		return nil
	}
	return fmt.Errorf("%w: %w", ErrStalled, err)
}

// writeOut writes what waits as any connection can. What is written to c meanwhile waits
// behind it.
func (c *Conn) writeOut() error {
	c.mu.Lock()
	out := c.buf
	c.buf, c.writing = buffer{}, out.len()
	c.mu.Unlock()
	n, err := c.Conn.Write(out.bytes())
	c.mu.Lock()
	defer c.mu.Unlock()
	out.skip(n)
	c.sent += uint64(n)
	c.writing = 0
	switch {
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		c.fail(err)
		fallthrough
	case c.err != nil:
		out.release()
		return err
	}
	if out.len() > 0 {
		out.append(c.buf.bytes())
		c.buf.release()
		c.buf = out
	}
	c.halfClose()
	return err
}

// SetWriteDeadline bounds Drain, and each Write before Gather.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	return c.setDeadline()
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.Conn.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// halfCloser is a connection whose sending side can be closed by itself.
type halfCloser interface{ CloseWrite() error }

// CloseWrite shuts down the writing side, if the connection can, once nothing waits any
// more: until then Flush and Drain go on.
func (c *Conn) CloseWrite() error {
	half, ok := c.Conn.(halfCloser)
	if !ok {
		return errors.ErrUnsupported
	}
	if !c.gathers.Load() {
		return half.CloseWrite()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.shut = true
	if c.pending() > 0 {
		return nil
	}
	return half.CloseWrite()
}

// halfClose passes CloseWrite on when all that had been written before has gone. The lock
// is held.
func (c *Conn) halfClose() {
	if c.shut && c.pending() == 0 {
		c.Conn.(halfCloser).CloseWrite()
	}
}

// Close closes the connection without waiting. What the socket has room for goes out
// before, as Flush does it; the rest is lost, so who wants it to arrive drains first. A Drain
// under way ends.
func (c *Conn) Close() error {
	if c.gathers.Load() {
		c.Flush()
		c.mu.Lock()
		c.fail(net.ErrClosed)
		c.mu.Unlock()
	}
	return c.Conn.Close()
}

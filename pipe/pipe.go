// Package pipe carries a stream of bytes between two connections, both ways, until it
// ends, breaks or falls silent.
//
// What lives here: the copying of bytes, half-closes, and the watch over silence. What
// may not: any protocol, since an upgraded connection of HTTP and a stream of TCP are
// the same here. It imports the domain only; relay and daemon/forward import it.
package pipe

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

const (
	// smallBuffer is what each direction of a stream holds while it waits: most
	// streams are idle most of the time.
	smallBuffer = 2 << 10
	// bigBuffer holds a whole TLS record and more, and is borrowed only while data
	// flows in big pieces.
	bigBuffer = 32 << 10
)

var smallPool = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
var bigPool = sync.Pool{New: func() any { b := make([]byte, bigBuffer); return &b }}

// halfCloser is a connection whose sending side can be closed by itself.
type halfCloser interface{ CloseWrite() error }

// End is one end of a stream.
type End struct {
	Conn net.Conn
	// Ahead holds what arrived before the pipe began; nil if nothing did.
	Ahead Ahead
	// Lost is the cause when this end's connection breaks.
	Lost mezu.Cause
}

// Ahead is a buffer of what arrived before.
type Ahead interface {
	// Unread is what is in it.
	Unread() []byte
	// Release gives its memory back.
	Release()
}

// Run carries bytes both ways between two ends until both directions ended, one
// failed, or nothing moved in either for idle. An end of input is passed on as a
// half-close and the other direction goes on. It closes neither connection and
// returns the bytes from a to b and from b to a. The error is the first that there
// was, a mezu.Cut: ErrSilent for a silence.
func Run(a, b End, idle time.Duration) (ab, ba int64, err error) {
	p := &pipe{a: a.Conn, b: b.Conn}
	for _, c := range []net.Conn{p.a, p.b} {
		if err := c.SetDeadline(time.Time{}); err != nil {
			return 0, 0, p.lost(a, err)
		}
	}
	p.silence.Begin(piping, idle, p.fallSilent)
	done := make(chan error, 1)
	go func() { done <- p.carry(a, b, &ab) }()
	err = p.carry(b, a, &ba)
	if other := <-done; err == nil {
		err = other
	}
	p.silence.End(piping)
	if first := p.first.Load(); first != nil {
		err = first
	}
	return ab, ba, err
}

type pipe struct {
	a, b    net.Conn
	silence Silence
	first   atomic.Pointer[mezu.Cut] // what ended it
}

// lost is the error of an end whose connection failed.
func (p *pipe) lost(end End, err error) error {
	cut := &mezu.Cut{Cause: end.Lost, Err: err}
	p.first.CompareAndSwap(nil, cut)
	return cut
}

func (p *pipe) fallSilent() {
	p.first.CompareAndSwap(nil, ErrSilent)
	p.expire()
}

// expire ends reads and writes of both ends: a stream with one direction broken is
// broken.
func (p *pipe) expire() {
	p.a.SetDeadline(time.Unix(1, 0))
	p.b.SetDeadline(time.Unix(1, 0))
}

// carry copies from one end to the other.
func (p *pipe) carry(from, to End, moved *int64) (err error) {
	defer func() {
		if err != nil {
			p.expire()
		}
	}()
	if from.Ahead != nil {
		if b := from.Ahead.Unread(); len(b) > 0 {
			if err := p.write(to.Conn, b); err != nil {
				return p.lost(to, err)
			}
			*moved += int64(len(b))
		}
		from.Ahead.Release()
	}
	small := smallPool.Get().(*[]byte)
	defer smallPool.Put(small)
	var big *[]byte
	defer func() {
		if big != nil {
			bigPool.Put(big)
		}
	}()
	for {
		buf := *small
		if big != nil {
			buf = *big
		}
		n, err := from.Conn.Read(buf)
		p.silence.Moved()
		if n > 0 {
			if werr := p.write(to.Conn, buf[:n]); werr != nil {
				return p.lost(to, werr)
			}
			*moved += int64(n)
		}
		switch {
		case err == io.EOF:
			if h, ok := to.Conn.(halfCloser); ok {
				h.CloseWrite()
			}
			return nil
		case err != nil:
			return p.lost(from, err)
		}
		// Big buffers only while data flows in big pieces.
		switch {
		case big == nil && n == smallBuffer:
			big = bigPool.Get().(*[]byte)
		case big != nil && n < smallBuffer:
			bigPool.Put(big)
			big = nil
		}
	}
}

func (p *pipe) write(conn net.Conn, b []byte) error {
	_, err := conn.Write(b)
	p.silence.Moved()
	return err
}

package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

// pipeBuffer is what each direction of an upgraded stream holds while it waits:
// most streams are idle most of the time.
const pipeBuffer = 2 << 10

var pipePool = sync.Pool{New: func() any { b := make([]byte, pipeBuffer); return &b }}

// halfCloser is a connection whose sending side can be closed by itself.
type halfCloser interface{ CloseWrite() error }

// PipeEnd is one end of an upgraded stream: its connection, and the reader with what
// arrived behind the head.
type PipeEnd struct {
	Conn   net.Conn
	Reader *Reader
	// Lost is the cause when this end's connection breaks.
	Lost mezu.Cause
}

// Pipe carries bytes both ways between two ends until both directions ended, one
// failed, or nothing moved in either for idle. An end of input is passed on as
// a half-close and the other direction goes on. It closes neither connection
// and returns the bytes from a to b and from b to a. The error is the first that
// there was, a Cut.
func Pipe(a, b PipeEnd, idle time.Duration) (ab, ba int64, err error) {
	p := &pipe{idle: idle, start: time.Now()}
	done := make(chan error, 1)
	go func() { done <- p.carry(a, b, &ab) }()
	err = p.carry(b, a, &ba)
	if err != nil {
		// The stream is broken; the other direction must not wait for it.
		expire(a.Conn)
		expire(b.Conn)
	}
	if other := <-done; err == nil {
		err = other
	}
	if first := p.first.Load(); first != nil {
		err = first
	}
	return ab, ba, err
}

type pipe struct {
	idle   time.Duration
	start  time.Time
	last   atomic.Int64 // when something moved last, in nanoseconds since start
	broken atomic.Bool
	first  atomic.Pointer[Cut] // what ended it
}

// lost is the error of an end whose connection failed.
func (p *pipe) lost(end PipeEnd, err error) error {
	cause := end.Lost
	if errors.Is(err, os.ErrDeadlineExceeded) {
		cause = mezu.CauseIdleTimeout
	}
	cut := &Cut{cause, err}
	p.first.CompareAndSwap(nil, cut)
	return cut
}

func (p *pipe) touch() { p.last.Store(int64(time.Since(p.start))) }

// silent is for how long nothing has moved.
func (p *pipe) silent() time.Duration { return time.Since(p.start) - time.Duration(p.last.Load()) }

func expire(c net.Conn) { c.SetDeadline(time.Unix(1, 0)) }

// carry copies from one end to the other.
func (p *pipe) carry(from, to PipeEnd, moved *int64) (err error) {
	defer func() {
		if err != nil {
			p.broken.Store(true)
			expire(from.Conn)
			expire(to.Conn)
		}
	}()
	if n := from.Reader.Buffered(); n > 0 {
		rest := from.Reader.buf[from.Reader.r:from.Reader.w]
		if err := p.write(to.Conn, rest); err != nil {
			return p.lost(to, err)
		}
		*moved += int64(n)
	}
	from.Reader.Release()
	small := pipePool.Get().(*[]byte)
	defer pipePool.Put(small)
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
		n, err := p.read(from.Conn, buf)
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
		case big == nil && n == pipeBuffer:
			big = bigPool.Get().(*[]byte)
		case big != nil && n < pipeBuffer:
			bigPool.Put(big)
			big = nil
		}
	}
}

// read waits for input; a wait that ends while the other direction is alive
// starts over.
func (p *pipe) read(conn net.Conn, buf []byte) (int, error) {
	for {
		if p.broken.Load() {
			return 0, io.ErrClosedPipe
		}
		conn.SetReadDeadline(time.Now().Add(p.idle - p.silent()))
		if p.broken.Load() { // expire may have come between
			return 0, io.ErrClosedPipe
		}
		n, err := conn.Read(buf)
		if n > 0 {
			p.touch()
			return n, nil
		}
		if err == nil {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && p.silent() < p.idle && !p.broken.Load() {
			continue
		}
		return 0, err
	}
}

func (p *pipe) write(conn net.Conn, b []byte) error {
	conn.SetWriteDeadline(time.Now().Add(p.idle))
	if p.broken.Load() { // expire may have come between
		return io.ErrClosedPipe
	}
	_, err := conn.Write(b)
	p.touch()
	return err
}

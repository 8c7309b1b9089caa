package h2

import (
	"net"
	"time"
)

// wire is a stream as a connection that carries bytes both ways: a WebSocket.
type wire struct {
	*Stream
	rest  []byte // of the piece under way
	timer *time.Timer
}

// Conn is the stream as a connection. Its two directions may be used by two goroutines.
func (s *Stream) Conn() net.Conn { return &wire{Stream: s} }

// Read reads what the peer sends. Its END_STREAM is io.EOF.
func (w *wire) Read(p []byte) (int, error) {
	for len(w.rest) == 0 {
		var err error
		if w.rest, err = w.Next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

// Write sends DATA.
func (w *wire) Write(p []byte) (int, error) {
	if err := w.Send(p, false, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite sends END_STREAM.
func (w *wire) CloseWrite() error { return w.Send(nil, true, false) }

// Close resets the stream, unless it has ended.
func (w *wire) Close() error {
	w.SetDeadline(time.Time{}) // or it would hit whoever has the stream by then
	w.Reset(Cancel)
	return nil
}

// LocalAddr and RemoteAddr are those of the stream's connection.
func (w *wire) LocalAddr() net.Addr  { return w.c.nc.LocalAddr() }
func (w *wire) RemoteAddr() net.Addr { return w.c.nc.RemoteAddr() }

// SetDeadline bounds what is under way and all that comes later, in both directions.
func (w *wire) SetDeadline(t time.Time) error {
	c := w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	w.expired = false
	switch d := time.Until(t); {
	case t.IsZero():
	case d <= 0:
		w.expire()
	default:
		var timer *time.Timer
		timer = time.AfterFunc(d, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if w.timer == timer { // and not another one by now, or none
				w.expire()
			}
		})
		w.timer = timer
	}
	return nil
}

// SetReadDeadline and SetWriteDeadline are SetDeadline: a stream with one direction that has ended
// before its time is broken.
func (w *wire) SetReadDeadline(t time.Time) error  { return w.SetDeadline(t) }
func (w *wire) SetWriteDeadline(t time.Time) error { return w.SetDeadline(t) }

// expire ends what waits. The lock is held.
func (s *Stream) expire() {
	s.expired = true
	signal(s.readable)
	signal(s.writable)
}

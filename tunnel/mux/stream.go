package mux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Stream carries one exchange after the other, as a connection of its own would. It is a
// net.Conn: one goroutine may read and another write.
type Stream struct {
	c *Conn
	// id is zero until the peer is told, gone says that this end has ended the stream, and
	// waits that it is woken when there is room in the queue. They are guarded by c.
	id    uint32
	gone  bool
	waits bool
	// ask and onEnd are what Open was given.
	ask   func(ctx context.Context, number uint32) (net.Conn, error)
	onEnd func()

	mu     sync.Mutex
	change sync.Cond // broadcast when what a read or write waits for may be here
	in     buffer    // what came and was not read
	came   int       // bytes of the exchange
	sent   int       // bytes of the exchange
	begins bool      // the next write begins an exchange (edge)
	busy   bool      // an exchange is under way (edge)
	ended  error     // what reads give once all is read; writes fail
	closed bool      // by this end
	cancel context.CancelCauseFunc
	why    error // the cause for cancel

	moved  bool               // the rest of the response wants a connection of its own
	rest   net.Conn           // that connection
	asking context.CancelFunc // ends the wait for it
	moves  int                // how many were fetched
	// readRest says that something came on it.
	readRest bool

	readBy  time.Time
	writeBy time.Time
	timer   *time.Timer // fires at readBy
}

func newStream(c *Conn) *Stream {
	s := &Stream{c: c}
	s.change.L = &s.mu
	return s
}

// Begin has the next write begin an exchange, at the edge.
func (s *Stream) Begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begins, s.busy, s.came, s.sent, s.moves, s.readRest = true, true, 0, 0, 0, false
}

// End ends an exchange, at the edge, and reports whether another may follow: everything was
// read, and the Warpgate has not ended the stream.
func (s *Stream) End() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	clean := !s.closed && s.ended == nil && s.in.len() == 0 && !s.begins && (!s.moved || s.rest != nil)
	s.moved, s.rest = false, nil
	return clean
}

// Read implements net.Conn.
func (s *Stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	for {
		switch {
		case s.closed:
			s.mu.Unlock()
			return 0, net.ErrClosed
		case s.passed(s.readBy):
			s.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case s.in.len() > 0 || len(p) == 0:
			n := s.in.read(p)
			s.mu.Unlock()
			return n, nil
		case s.rest != nil && s.c.cfg.Serve == nil:
			rest := s.rest
			s.mu.Unlock()
			n, err := rest.Read(p)
			s.mu.Lock()
			if s.readRest = s.readRest || n > 0; n > 0 || err == nil || !s.again(err) {
				s.mu.Unlock()
				return n, err
			}
		case s.ended != nil:
			err := s.ended
			s.mu.Unlock()
			return 0, err
		case s.moved && s.c.cfg.Serve == nil:
			s.move()
		default:
			s.change.Wait()
		}
	}
}

// again has another connection fetched where the first gave nothing: the Warpgate may have
// closed it just then. The lock is held.
func (s *Stream) again(err error) bool {
	if s.readRest || s.moves >= maxMoves || s.closed || errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	s.rest = nil
	return true
}

// passed reports whether a deadline is over.
func (s *Stream) passed(by time.Time) bool { return !by.IsZero() && !time.Now().Before(by) }

// move fetches the connection for the rest of the response. The lock is held, and is not
// while it waits.
func (s *Stream) move() {
	ctx, cancel := context.WithCancel(context.Background()) // expire ends it at the deadline
	defer cancel()
	s.asking = cancel
	s.mu.Unlock()
	rest, err := s.ask(ctx, s.id)
	s.mu.Lock()
	s.asking = nil
	switch {
	case err != nil && ctx.Err() != nil:
		// The deadline has passed, or the stream or its connection has ended: the caller looks.
	case err != nil && s.ended == nil:
		s.ended = fmt.Errorf("moving the response to a connection of its own: %w", err)
	case err != nil:
	case s.closed:
		rest.Close()
	default:
		s.moves++
		rest.SetReadDeadline(s.readBy)
		s.rest = rest
	}
}

// Write implements net.Conn. It fails if more than Budget is written in one exchange, at the
// edge; at the Warpgate it moves what is over to a connection of its own, and waits for that.
func (s *Stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed:
			return 0, net.ErrClosed
		case s.ended != nil:
			return 0, s.ended
		case s.passed(s.writeBy):
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0: // there are no frames without a payload
			return 0, nil
		case s.rest != nil:
			return s.writeRest(p)
		case s.sent+len(p) <= Budget && !s.moved:
			wrote, err := s.writeShared(p)
			switch {
			case err != nil:
				return 0, err
			case wrote:
				return len(p), nil
			case !s.c.waits(s):
				continue // it was woken in the meantime
			}
		case s.c.cfg.Serve == nil:
			return 0, ErrTooMuch
		case !s.moved:
			s.moved = true
			s.c.mu.Lock()
			s.c.signal(s.id, kindMove)
			s.c.mu.Unlock()
		}
		s.await(s.writeBy)
	}
}

// writeShared writes a part of the exchange that fits, unless too much waits. The lock is
// held, and is not while it writes.
func (s *Stream) writeShared(p []byte) (wrote bool, err error) {
	kind := byte(kindData)
	if s.begins {
		kind = kindBegin
	}
	// The budget is taken before, and the kind decided, because the lock is given up.
	began := s.begins
	s.begins = false
	s.sent += len(p)
	s.mu.Unlock()
	wrote, err = s.c.write(s, kind, p)
	s.mu.Lock()
	if !wrote {
		s.sent -= len(p)
		s.begins = began
	}
	return wrote, err
}

// writeRest writes to the connection of its own. The lock is held, and is not while it
// writes.
func (s *Stream) writeRest(p []byte) (int, error) {
	rest := s.rest
	s.mu.Unlock()
	defer s.mu.Lock()
	return rest.Write(p)
}

// await waits for a change, or until by. The lock is held.
func (s *Stream) await(by time.Time) {
	if by.IsZero() {
		s.change.Wait()
		return
	}
	timer := time.AfterFunc(time.Until(by), s.wake)
	s.change.Wait()
	timer.Stop()
}

// wake has reads and writes that wait look again.
func (s *Stream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change.Broadcast()
}

// expire ends what waits for the deadline of reads, if that has passed.
func (s *Stream) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking != nil && s.passed(s.readBy) {
		s.asking()
	}
	s.change.Broadcast()
}

// attach gives the rest of the response a connection, at the Warpgate.
func (s *Stream) attach(rest net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.ended != nil || !s.moved || s.rest != nil {
		return false
	}
	rest.SetWriteDeadline(s.writeBy)
	s.rest = rest
	s.change.Broadcast()
	return true
}

// Answered says, at the Warpgate, that the response has been written to its end. The connection
// that its rest went to is no more of the stream's business: the edge has it carry others.
func (s *Stream) Answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest, s.moved = nil, false
}

// detach takes attach back: the edge has the whole response.
func (s *Stream) detach(rest net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rest == rest {
		s.rest = nil
	}
}

// take acts on a frame of the stream.
func (s *Stream) take(kind byte, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil // just now
	}
	switch kind {
	case kindBegin:
		s.came, s.sent, s.moved, s.rest = 0, 0, false, nil
		return s.receive(payload)
	case kindData:
		return s.receive(payload)
	case kindMove:
		if !s.busy || s.moved {
			return fmt.Errorf("%w: a response moves twice, or there is none", ErrProtocol)
		}
		s.moved = true
	case kindEnd:
		s.finish(io.EOF)
	case kindRefused:
		s.finish(ErrRefused)
	case kindCancel:
		s.stop(ErrCancelled)
	}
	s.change.Broadcast()
	return nil
}

// receive takes in what came. The lock is held.
func (s *Stream) receive(p []byte) error {
	s.came += len(p)
	edge := s.c.cfg.Serve == nil
	switch {
	case s.came > Budget:
		return fmt.Errorf("%w: over %d bytes of one exchange", ErrProtocol, Budget)
	case edge && (!s.busy || s.moved):
		return fmt.Errorf("%w: bytes of a response that is no more, or goes another way", ErrProtocol)
	case s.in.len()+len(p) > 2*Budget: // of the exchange before something may be left to read
		return fmt.Errorf("%w: exchanges that begin before others have ended", ErrProtocol)
	}
	s.in.append(p)
	s.change.Broadcast()
	return nil
}

// finish notes that the Warpgate has ended the stream. The lock is held.
func (s *Stream) finish(why error) {
	if s.ended == nil {
		s.ended = why
	}
	if s.onEnd != nil {
		s.c.tasks.Go(s.onEnd)
	}
}

// stop ends the stream with its work, at the Warpgate. The lock is held.
func (s *Stream) stop(why error) {
	if s.ended == nil {
		s.ended = why
	}
	s.why = why
	if s.cancel != nil {
		s.cancel(why)
	}
	s.shut()
}

// shut ends reads and writes. The lock is held.
func (s *Stream) shut() {
	s.closed, s.busy = true, false
	s.in.release()
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.asking != nil {
		s.asking()
	}
	if s.rest != nil {
		s.rest.Close()
	}
	s.change.Broadcast()
}

// onCancel notes what ends the stream's work, and reports whether that is wanted still.
func (s *Stream) onCancel(cancel context.CancelCauseFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = cancel
	if s.why != nil {
		cancel(s.why)
	}
	return s.why == nil
}

// lose ends the stream because its connection has ended. What came before can be read still.
// The rest of a response that the edge has a connection for may come to its end.
func (s *Stream) lose(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel(why)
	}
	s.why = why
	if s.ended == nil {
		s.ended = why
	}
	if s.asking != nil {
		s.asking()
	}
	if s.rest != nil && s.c.cfg.Serve != nil {
		s.rest.Close() // a write may be waiting there
	}
	s.change.Broadcast()
}

// Close ends the stream. At the edge it cancels the exchange that is under way; at the Warpgate
// what was written before arrives. The connection for the rest of a response is closed with it.
// It doesn't wait.
func (s *Stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.shut()
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.drop(s)
	return nil
}

// SetDeadline implements net.Conn.
func (s *Stream) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.readBy = t
	if s.rest != nil && s.c.cfg.Serve == nil {
		s.rest.SetReadDeadline(t)
	}
	switch left := time.Until(t); {
	case t.IsZero():
		if s.timer != nil {
			s.timer.Stop()
		}
		return nil
	case left <= 0:
		if s.asking != nil {
			s.asking()
		}
		s.change.Broadcast()
	case s.timer == nil:
		s.timer = time.AfterFunc(left, s.expire)
	default:
		s.timer.Reset(left)
	}
	return nil
}

// SetWriteDeadline implements net.Conn.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.writeBy = t
	if s.rest != nil && s.c.cfg.Serve != nil {
		s.rest.SetWriteDeadline(t)
	}
	s.change.Broadcast() // who waits does so until another time
	return nil
}

// LocalAddr implements net.Conn.
func (s *Stream) LocalAddr() net.Addr { return s.c.nc.LocalAddr() }

// RemoteAddr implements net.Conn.
func (s *Stream) RemoteAddr() net.Addr { return s.c.nc.RemoteAddr() }

var _ net.Conn = (*Stream)(nil)

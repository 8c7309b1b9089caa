package h2

import (
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu/relay"
)

// Stream is one exchange on a connection. Its body is a relay.Source. Next, Rewind and Ready are
// called from one goroutine at a time, what sends from one as well, which may be another;
// StopRead, Reset and Cut from any.
type Stream struct {
	c  *conn
	id uint32

	// Head is the head that came.
	head relay.Section
	tail *relay.Section // the trailer section, if one came

	readable chan struct{} // of one place: something came, or reading has ended
	writable chan struct{} // of one place: pending has gone, or sending has ended
	readFor  time.Duration // bound on each wait; zero: none
	writeFor time.Duration
	// Timers of both, which are kept from one wait to the next.
	readTimer, writeTimer *time.Timer
	watch                 watch

	// All below is guarded by the connection's lock.
	err error // what has ended it before its time

	// Sending.
	sendWin int64
	sent    int64  // bytes of DATA
	pending []byte // waits to be sent; of the sender, who waits until it is gone
	pendEnd bool   // it is the last
	queued  bool   // in a list
	large   bool   // in the list of bulk
	stuck   bool   // it waits for the first byte of its window
	answers bool   // the head of a response that is no interim one was sent
	sentEnd bool
	urgency uint8
	ordered bool // it is sent before others of its urgency that came later (RFC 9218, 4.2)
	next    *Stream

	// Receiving.
	in       []*chunk
	at       int   // of the chunk that is read
	lent     int   // bytes of the piece that Next gave last
	pieces   int   // that were given
	keep     bool  // all of the body was here at first, and stays
	held     int64 // bytes that count against the connection's window
	came     int64
	read     int64
	limit    int64 // of the body; zero: none
	declared int64 // Content-Length; -1: none
	recvWin  int64
	recvMost int64
	credits  int64 // was read, and not told yet
	epoch    int64 // was read since then
	since    time.Time
	grown    time.Time // when the window has grown last
	recvEnd  bool
	short    bool // the peer ended a body before its Content-Length, which was answered already
	shut     bool // reading was stopped
	expired  bool // reading and sending were, by a deadline
	trailer  []relay.Field
	swallow  bool // what comes is dropped: the response has ended
	dropped  int64
	swallows *time.Timer

	server
	client
}

// init prepares a stream for its connection.
func (s *Stream) init(c *conn, id uint32) {
	readable, writable, in, tail := s.readable, s.writable, s.in[:0], s.tail
	if readable == nil {
		readable, writable = make(chan struct{}, 1), make(chan struct{}, 1)
	}
	for _, ch := range []chan struct{}{readable, writable} {
		select {
		case <-ch:
		default:
		}
	}
	head, readTimer, writeTimer := s.head, s.readTimer, s.writeTimer
	*s = Stream{c: c, id: id, readable: readable, writable: writable, in: in, tail: tail, head: head, readTimer: readTimer, writeTimer: writeTimer, urgency: defaultUrgency, declared: -1}
	s.sendWin, s.recvWin, s.recvMost = c.peerWin, minStreamWindow, minStreamWindow
	s.since = time.Now()
	s.grown = s.since
}

// fail ends the stream before its time. The lock is held.
func (s *Stream) fail(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	s.c.unqueue(s)
	s.pending = nil
	signal(s.readable)
	signal(s.writable)
	s.watch.ring()
}

// watch is who is to be told that the stream has ended.
type watch struct {
	mu   sync.Mutex
	rung bool
	gone func()
}

func (w *watch) ring() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rung = true
	if w.gone != nil {
		w.gone()
		w.gone = nil
	}
}

// Watch calls gone, once, when the stream is reset or its connection ends, until Unwatch. gone must
// not wait, nor use the stream.
func (s *Stream) Watch(gone func()) {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	if s.watch.rung {
		gone()
		return
	}
	s.watch.gone = gone
}

// Unwatch ends Watch. After it gone is not called any more, nor being called.
func (s *Stream) Unwatch() {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	s.watch.gone = nil
}

// ReadWithin bounds each wait of Next from now on; zero is no bound.
func (s *Stream) ReadWithin(d time.Duration) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.readFor, s.readBy = d, time.Time{}
}

// WriteWithin bounds each wait of what sends.
func (s *Stream) WriteWithin(d time.Duration) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.writeFor = d
}

// await waits for a signal, for as long as it may.
func await(signal chan struct{}, within time.Duration, timer **time.Timer) error {
	if within <= 0 {
		<-signal
		return nil
	}
	if *timer == nil {
		*timer = time.NewTimer(within)
	} else {
		(*timer).Reset(within)
	}
	defer (*timer).Stop()
	select {
	case <-signal:
		return nil
	case <-(*timer).C:
		return os.ErrDeadlineExceeded
	}
}

// StopRead ends reading: a call of Next under way, and each later one, gives ErrStopped.
func (s *Stream) StopRead() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.shut = true
	signal(s.readable)
}

// Reset ends the stream. The peer sees the code.
func (s *Stream) Reset(code Code) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.shut = true
	signal(s.readable)
	s.c.reset(s, streamErr(code, "it was reset here"))
	s.c.flush(nil)
}

// endCame notes that nothing more comes. The lock is held.
func (s *Stream) endCame() {
	s.recvEnd = true
	signal(s.readable)
	if s.sentEnd {
		s.c.forget(s, false)
	}
}

// ends notes that the peer has ended a body. One that is shorter than its Content-Length is an error
// until it was answered. From then on that is how a client stops an upload which nobody wants any
// more, so a reader waits on for what it lacks. The lock is held.
func (s *Stream) ends() error {
	switch {
	case s.declared < 0 || s.came == s.declared || s.swallow:
		s.endCame()
	case s.came < s.declared && s.answers:
		s.short = true
	default:
		return s.c.offend(s.id, wrongLength())
	}
	return nil
}

// endSent notes that nothing more is sent. The lock is held.
func (s *Stream) endSent() {
	s.sentEnd = true
	if s.recvEnd || s.short {
		s.c.forget(s, false)
	}
}

// stick and unstick count streams that wait for the first byte of their window. The lock is held.
func (s *Stream) stick() {
	c := s.c
	if s.stuck || s.sent > 0 {
		return
	}
	s.stuck = true
	if c.stuck++; c.stuck <= maxStuck || c.stuckTimer != nil {
		return
	}
	c.stuckTimer = time.AfterFunc(stuckTime, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stuckTimer = nil
		if c.stuck > maxStuck && c.err == nil {
			c.calm("too many streams have no window")
		}
	})
}

func (s *Stream) unstick() {
	if s.stuck {
		s.stuck = false
		s.c.stuck--
	}
}

// calm ends the connection from outside of its reader. The lock is held.
func (c *conn) calm(why string) {
	if c.wish == nil {
		c.wish = connErr(EnhanceYourCalm, why)
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// errEnded is the end of sending where the stream has ended already.
var errEnded = errors.New("the stream was ended before")

// Send sends a piece of the body; end says that it is the last. more says that another follows
// at once, so that a small one may wait for it. It returns when p is free again.
func (s *Stream) Send(p []byte, end, more bool) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := s.sendable(); err != nil {
		return err
	}
	if len(p) == 0 && !end {
		return nil
	}
	if s.express(len(p)) {
		s.ship(p, end)
		if !more || len(c.ready) >= expressSize {
			c.flush(s)
		}
		return s.err
	}
	s.pending, s.pendEnd = p, end
	c.enqueue(s, false)
	c.flush(s)
	for s.pending != nil {
		if err := s.awaitTurn(); err != nil && s.pending != nil {
			c.unqueue(s)
			s.pending = nil // p belongs to the caller
			return err
		}
	}
	return s.err
}

// awaitTurn waits until something has changed for who sends, within the stream's bound. The lock is
// held, but not while it waits.
func (s *Stream) awaitTurn() error {
	if s.expired {
		return os.ErrDeadlineExceeded
	}
	within := s.writeFor
	s.c.mu.Unlock()
	err := await(s.writable, within, &s.writeTimer)
	s.c.mu.Lock()
	if s.expired {
		return os.ErrDeadlineExceeded
	}
	return err
}

func (s *Stream) sendable() error {
	switch {
	case s.err != nil:
		return s.err
	case s.sentEnd:
		return errEnded
	}
	return nil
}

// express reports whether n bytes may go out next: they are few, their windows let them, and
// nobody of more urgency waits. The lock is held.
func (s *Stream) express(n int) bool {
	c := s.c
	if n == 0 {
		return true
	}
	return n <= expressSize && int64(n) <= s.sendWin && int64(n) <= c.sendWin && len(c.ready)+n <= batchSize && (c.bulks == 0 || !s.large && s.urgency <= defaultUrgency)
}

// ship adds frames of DATA to what goes out next. The lock is held.
func (s *Stream) ship(p []byte, end bool) {
	c := s.c
	for first := true; first || len(p) > 0; first = false {
		part := p[:min(len(p), maxFrame)]
		p = p[len(part):]
		flags := uint8(0)
		if end && len(p) == 0 {
			flags = flagEnd
		}
		c.ready = appendHeader(c.ready, frameData, flags, s.id, len(part))
		c.ready = append(c.ready, part...)
		c.spent(s, len(part))
	}
	if end {
		s.endSent()
	}
}

// SendBlock sends a section of fields: a head, or with end after a body, trailers. more says that a
// piece of the body follows at once.
func (s *Stream) SendBlock(k *Block, end, more bool) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := s.sendable(); err != nil {
		return err
	}
	for len(c.ready) > batchSize && s.err == nil && c.err == nil && c.mute == nil {
		if !c.writing {
			c.flush(nil) // others have put heads there whose bodies follow
			continue
		}
		c.crowd = append(c.crowd, s)
		if err := s.awaitTurn(); err != nil {
			return err
		}
	}
	if s.err != nil {
		return s.err
	}
	if err := s.open(); err != nil {
		return err
	}
	s.answers = s.answers || k.final
	c.borrow()
	if c.tableless {
		c.tableless = false
		k.b = slices.Insert(k.b, 0, noTable)
	}
	c.ready = appendBlock(c.ready, s.id, k.b, end, maxFrame)
	c.controls.earn(1, 0)
	if end {
		s.endSent()
	}
	if !more {
		c.flush(s)
	}
	return s.err
}

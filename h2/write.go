package h2

import (
	"runtime"
	"sync"
	"time"
)

// urgencies is how many there are (RFC 9218, 4.1); zero comes first.
const (
	urgencies      = 8
	defaultUrgency = 3
	// maxPriority bounds a priority as text. All that it can say fits in a fraction of it.
	maxPriority = 256
)

// queue is the streams of one urgency that have something to send and may: first those that have
// sent little, then bulk. Each list is served in turn.
type queue struct{ small, large list }

// list is a list of streams by their next.
type list struct{ first, last *Stream }

func (l *list) push(s *Stream) {
	s.next = nil
	if l.last == nil {
		l.first = s
	} else {
		l.last.next = s
	}
	l.last = s
}

func (l *list) pushFront(s *Stream) {
	if s.next = l.first; l.first == nil {
		l.last = s
	}
	l.first = s
}

func (l *list) pop() *Stream {
	s := l.first
	if l.first = s.next; l.first == nil {
		l.last = nil
	}
	s.next = nil
	return s
}

func (l *list) remove(s *Stream) {
	var before *Stream
	for at := l.first; at != nil; before, at = at, at.next {
		if at != s {
			continue
		}
		if before == nil {
			l.first = s.next
		} else {
			before.next = s.next
		}
		if l.last == s {
			l.last = before
		}
		s.next = nil
		return
	}
}

// enqueue has a stream send when it is its turn, if its window lets it. front is for one that goes
// on where it was. The lock is held.
func (c *conn) enqueue(s *Stream, front bool) {
	if s.queued || s.pending == nil || s.err != nil {
		return
	}
	if s.sendWin <= 0 {
		s.stick()
		return
	}
	l := s.list()
	if front {
		l.pushFront(s)
	} else {
		l.push(s)
	}
	s.queued = true
	c.bulks++
}

// list is where a stream waits.
func (s *Stream) list() *list {
	q := &s.c.bulk[s.urgency]
	if s.large {
		return &q.large
	}
	return &q.small
}

// unqueue takes a stream out of its list. The lock is held.
func (c *conn) unqueue(s *Stream) {
	if !s.queued {
		return
	}
	s.list().remove(s)
	s.queued = false
	c.bulks--
}

// unblock has a stream go on whose window has grown. The lock is held.
func (c *conn) unblock(s *Stream) {
	if s.sendWin > 0 {
		s.unstick()
		c.enqueue(s, false)
	}
}

// next takes the stream whose turn it is out of its list, nil if none may send. The lock is held.
func (c *conn) next() *Stream {
	if c.bulks == 0 || c.sendWin <= 0 {
		return nil
	}
	for i := range c.bulk {
		q := &c.bulk[i]
		l := &q.small
		if l.first == nil {
			l = &q.large
		}
		if l.first != nil {
			s := l.pop()
			s.queued = false
			c.bulks--
			return s
		}
	}
	return nil
}

// moves reports whether something can go out now. The lock is held.
func (c *conn) moves() bool {
	return c.err == nil && c.mute == nil && (len(c.ready) > 0 || c.bulks > 0 && c.sendWin > 0 && !c.waiting)
}

// fill takes what goes out next: what is ready, and then what streams have, a frame of each in
// turn. The lock is held.
func (c *conn) fill() []byte {
	b := c.ready
	c.ready, c.spare = c.spare[:0], nil
	c.disperse()
	for len(b) < batchSize-frameHeader && !c.waiting {
		s := c.next()
		if s == nil {
			break
		}
		n := min(len(s.pending), maxFrame, int(min(s.sendWin, c.sendWin)), batchSize-len(b)-frameHeader)
		flags := uint8(0)
		if s.pendEnd && n == len(s.pending) {
			flags = flagEnd
		}
		b = appendHeader(b, frameData, flags, s.id, n)
		b = append(b, s.pending[:n]...)
		s.pending = s.pending[n:]
		c.spent(s, n)
		if len(s.pending) > 0 {
			c.enqueue(s, s.ordered && s.large)
			continue
		}
		s.pending = nil
		if flags == flagEnd {
			s.endSent()
		}
		signal(s.writable)
	}
	return b
}

// disperse wakes up who waits for room in what is ready. The lock is held.
func (c *conn) disperse() {
	for _, s := range c.crowd {
		signal(s.writable)
	}
	c.crowd = c.crowd[:0]
}

// spent notes that a stream has sent a DATA frame of n bytes. The lock is held.
func (c *conn) spent(s *Stream, n int) {
	s.sendWin -= int64(n)
	c.sendWin -= int64(n)
	s.sent += int64(n)
	s.large = s.sent >= smallStream
	c.updates.earn(updatesEarned+float64(n)/updateBytes, maxUpdates)
	c.controls.earn(1, 0)
}

// flush writes all that can go out, unless somebody does so already. It never waits for the peer:
// if the socket is full, a goroutine of the crew goes on. It goes on as well if there is more to
// write when own has nothing left. The lock is held, and is not while it writes.
func (c *conn) flush(own *Stream) {
	if c.writing {
		return
	}
	if own != nil && c.bulks == 0 && c.working > 1 && c.moves() {
		// Others that are about to send go along: that costs less than a system call of their own.
		c.writing = true
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
		c.writing = false
	}
	for batches := 1; c.moves(); batches++ {
		c.writing = true
		b := c.fill()
		c.mu.Unlock()
		_, err := c.nc.Write(b)
		left := 0
		if err == nil {
			left, err = c.out.Flush()
		}
		c.mu.Lock()
		c.keep(b)
		c.writing = false
		if err != nil {
			c.writeFailed(err)
			break
		}
		others := (own == nil || own.pending == nil) && (c.bulks > 0 || batches == maxFavours)
		if left > 0 || others && c.moves() {
			c.writing = true
			c.working++
			c.crew.do((*writer)(c))
			return
		}
	}
	c.done.Broadcast()
}

// maxFavours is how many batches of small frames a goroutine writes for others: each costs it a
// system call, and less than to wake up another.
const maxFavours = 8

// keep keeps the memory of what was written for what comes next. The lock is held.
func (c *conn) keep(b []byte) {
	switch {
	case cap(b) > maxKeptReady:
	case c.ready == nil:
		c.ready = b[:0]
	case c.spare == nil:
		c.spare = b[:0]
	}
}

// maxKeptReady is how much memory is kept for what is written next: a batch, and what may come on
// top of it.
const maxKeptReady = batchSize + maxAnswers

// readyPool is where what is ready is put together.
var readyPool = sync.Pool{New: func() any { b := make([]byte, 0, smallBuffer); return &b }}

// borrow gets memory for what is written next, where a head is to be put together, and rest gives it
// back: an idle connection has none. The lock is held.
func (c *conn) borrow() {
	if c.ready == nil {
		c.ready = *readyPool.Get().(*[]byte)
	}
}

func (c *conn) rest() {
	if c.writing || len(c.ready) > 0 {
		return
	}
	for _, b := range []*[]byte{&c.ready, &c.spare} {
		if kept := (*b)[:0]; cap(kept) == smallBuffer {
			readyPool.Put(&kept)
		}
		*b = nil
	}
}

// writer is a connection to whose socket a goroutine of the crew writes, which may wait.
type writer conn

func (w *writer) work() {
	c := (*conn)(w)
	var err error
	for {
		if err = c.out.Drain(stallTimeout); err != nil {
			break
		}
		c.mu.Lock()
		if !c.moves() {
			break
		}
		b := c.fill()
		c.mu.Unlock()
		_, err = c.nc.Write(b)
		c.mu.Lock()
		c.keep(b)
		c.mu.Unlock()
		if err != nil {
			break
		}
	}
	if err != nil {
		c.mu.Lock()
		c.writeFailed(err)
	}
	c.writing = false
	c.working--
	c.done.Broadcast()
	c.mu.Unlock()
}

// prioritise sets the priority of a stream by a Priority field (RFC 9218, 4). What it can't
// understand it leaves as it is. The lock is held.
func (c *conn) prioritise(s *Stream, value []byte) {
	urgency, incremental, said := s.urgency, false, false
	for len(value) > 0 {
		var one []byte
		one, value = cut(value, ',')
		switch {
		case len(one) == 3 && one[0] == 'u' && one[1] == '=' && '0' <= one[2] && one[2] < '0'+urgencies:
			urgency, said = one[2]-'0', true
		case string(one) == "i", string(one) == "i=?1":
			incremental, said = true, true
		case string(one) == "i=?0":
			said = true
		}
	}
	if !said {
		return
	}
	queued := s.queued
	c.unqueue(s)
	s.urgency, s.ordered = urgency, !incremental
	if queued {
		c.enqueue(s, false)
	}
}

// cut splits at a byte, and drops spaces around the first part.
func cut(b []byte, at byte) (first, rest []byte) {
	first = b
	for i, c := range b {
		if c == at {
			first, rest = b[:i], b[i+1:]
			break
		}
	}
	for len(first) > 0 && (first[0] == ' ' || first[0] == '\t') {
		first = first[1:]
	}
	for len(first) > 0 && (first[len(first)-1] == ' ' || first[len(first)-1] == '\t') {
		first = first[:len(first)-1]
	}
	return first, rest
}

// signal wakes up who waits on a channel of one place.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// credit gives n bytes of the connection's window back that nobody holds any more. The lock is
// held.
func (c *conn) credit(n int64) {
	c.credits += n
	if c.credits < c.recvMost/4 && c.recvWin > c.recvMost/4 {
		return
	}
	now := time.Now()
	if now.Sub(c.credited) < max(2*c.rtt, hurry) {
		c.grow()
	}
	c.credited = now
	c.tell()
}

// grow lets the peer send more on the connection. The lock is held.
func (c *conn) grow() {
	if c.recvMost < maxConnWindow {
		c.credits += min(c.recvMost, maxConnWindow-c.recvMost)
		c.recvMost = min(2*c.recvMost, maxConnWindow)
	}
}

// tell tells the peer of its window. The lock is held.
func (c *conn) tell() {
	if c.credits > 0 {
		c.recvWin += c.credits
		c.queueControl(appendWindow(c.ready, 0, c.credits))
		c.credits = 0
	}
}

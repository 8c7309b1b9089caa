package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu/tunnel/mux"
)

// Conn is a data connection during one exchange. Whoever checked it out owns it
// until Release or Discard, one of which must be called exactly once; after that it
// may carry somebody else's exchange. Deadlines that an exchange sets stay with the
// connection: each exchange sets its own.
type Conn struct {
	net.Conn
	// WriteBy is the write deadline in force, which the holder who moves it notes
	// here; if zero, it is unknown.
	WriteBy   time.Time
	session   *Session
	number    uint64
	serial    string      // of the certificate that it was established with
	reclaimed atomic.Bool // ended in favour of others
	stream    *mux.Stream // that Conn is, of a shared exchange; nil with a connection of its own
	shared    *mux.Conn   // that the stream belongs to
	// All below is guarded by the session.
	holder       *holder // who has it checked out, or nil
	older, newer *Conn   // of the same holder
	reused       bool    // has carried an exchange before the one under way
	lent         *Conn   // what carries the rest of a shared exchange's response, or nil
	carries      bool    // it carries the rest of such a response
	used         int64   // step of the hub's wheel at its last release
}

// Session is the session that the connection belongs to.
func (c *Conn) Session() *Session { return c.session }

// Reused reports whether the connection has carried an exchange before, so that
// the Warpgate may have closed it in the meantime.
func (c *Conn) Reused() bool { return c.reused }

// Shared reports whether the exchange shares a connection with others.
func (c *Conn) Shared() bool { return c.stream != nil }

// Failed is told why an exchange failed. If the Warpgate had no room for a shared one
// (mux.ErrRefused), those that follow have connections of their own for a while.
func (c *Conn) Failed(why error) {
	if c.stream != nil && errors.Is(why, mux.ErrRefused) {
		c.session.refusedShared()
	}
}

// Reclaimed reports whether the hub has ended the exchange because its address held
// more than its share while others waited.
func (c *Conn) Reclaimed() bool { return c.reclaimed.Load() }

// Release gives the connection back after an exchange that was read and written
// to its end.
func (c *Conn) Release() {
	s := c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.holder == nil {
		return
	}
	if s.why != nil || c.reclaimed.Load() { // closed already
		s.discard(c)
		return
	}
	if c.stream != nil {
		s.releaseShared(c)
		return
	}
	s.unhold(c)
	if s.retired {
		delete(s.open, c.number)
		s.out.polite(c.Conn)
		s.updateLoad()
		s.drained()
		return
	}
	c.reused = true
	c.used = s.hub.step.Load()
	s.idle = append(s.idle, c)
	s.serveWaiters()
	s.updateLoad()
}

// Close is Discard.
func (c *Conn) Close() error {
	c.Discard()
	return nil
}

// Discard closes the connection because its exchange can't or must not be finished. The
// Warpgate is told on the control connection, too: while it waits for its workload it may
// not look at the data connection.
func (c *Conn) Discard() {
	s := c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.holder != nil {
		s.discard(c)
	}
}

// discard is Discard of a connection in use. The lock is held.
func (s *Session) discard(c *Conn) {
	if c.stream != nil {
		s.discardShared(c)
		return
	}
	s.drop(c)
	abort(c.Conn)
	if s.why == nil {
		s.out.send(appendNumber(nil, frameCancel, c.number))
		s.drained()
		s.serveWaiters()
		s.updateLoad()
		s.refill()
	}
}

// Checkout takes a connection for one exchange of a client: the one released last. If none
// is free it waits for one, up to Limits.Wait. Of those that wait, the one whose address
// holds fewest connections comes first. The error wraps ErrOverloaded if there is no room,
// and ErrGone if another session should be tried; else it is ctx's.
func (s *Session) Checkout(ctx context.Context, client Address) (*Conn, error) {
	s.mu.Lock()
	if s.why != nil || s.retired {
		s.mu.Unlock()
		return nil, ErrGone
	}
	h := s.holder(client)
	if c := s.takeWarmest(h); c != nil {
		s.mu.Unlock()
		return c, nil
	}
	s.noteBegin()
	if s.leaving && len(s.open) == 0 {
		s.mu.Unlock()
		return nil, ErrGone
	}
	w := s.enqueue(h)
	if w == nil {
		s.unneeded(h)
		s.mu.Unlock()
		return nil, ErrOverloaded
	}
	s.updateLoad()
	s.refill()
	s.mu.Unlock()
	return s.await(ctx, w)
}

// TryCheckout takes the connection released last, or returns nil where Checkout
// would wait or fail.
func (s *Session) TryCheckout(client Address) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why != nil || s.retired || len(s.idle) == 0 {
		return nil
	}
	return s.takeWarmest(s.holder(client))
}

// takeWarmest checks out the connection released last for h, if one is idle and h may
// have it. The lock is held.
func (s *Session) takeWarmest(h *holder) *Conn {
	if len(s.idle) == 0 || !s.mayTake(h) {
		return nil
	}
	s.noteBegin()
	c := s.popIdle()
	s.hold(h, c)
	s.updateLoad()
	s.refill()
	return c
}

// popIdle takes the connection released last out of those that are idle. The lock is
// held.
func (s *Session) popIdle() *Conn {
	n := len(s.idle) - 1
	c := s.idle[n]
	s.idle[n] = nil
	s.idle = s.idle[:n]
	return c
}

// await waits for w's connection.
func (s *Session) await(ctx context.Context, w *waiter) (*Conn, error) {
	left := s.hub.limits.Wait
	step := min(reclaimAfter, left)
	timer := time.NewTimer(step)
	defer timer.Stop()
	for {
		select {
		case c := <-w.conn:
			return given(c)
		case <-timer.C:
			if left -= step; left > 0 {
				s.mu.Lock()
				if w.queued {
					s.reclaim(w)
				}
				s.mu.Unlock()
				step = min(reclaimAfter, left)
				timer.Reset(step)
				continue
			}
		case <-ctx.Done():
		}
		return s.giveUp(ctx, w)
	}
}

// giveUp ends the wait of w, which is over or not wanted any more.
func (s *Session) giveUp(ctx context.Context, w *waiter) (*Conn, error) {
	s.mu.Lock()
	if !s.dequeue(w) { // it came in the same moment
		s.mu.Unlock()
		return given(<-w.conn)
	}
	s.updateLoad()
	dead := len(s.open) == 0
	s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if dead { // its control connection works and nothing else: it must come anew
		err := fmt.Errorf("%w: no data connection came within %v", ErrGone, s.hub.limits.Wait)
		s.end(err, nil)
		return nil, err
	}
	return nil, fmt.Errorf("%w for %v", ErrOverloaded, s.hub.limits.Wait)
}

// given is what a waiter was given: nil says that the session is gone.
func given(c *Conn) (*Conn, error) {
	if c == nil {
		return nil, ErrGone
	}
	return c, nil
}

// adopt takes in a new data connection.
func (s *Session) adopt(conn net.Conn, number uint64) error {
	c := &Conn{Conn: conn, session: s, number: number, serial: serialOf(conn)}
	if c.serial == s.serial {
		c.serial = s.serial // one copy
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = max(s.wanted-1, 0)
	switch {
	case s.why != nil || s.retired && s.moving.length == 0:
		return ErrGone
	case s.open[number] != nil:
		return fmt.Errorf("%w: HELLO with the number %d of another connection", ErrProtocol, number)
	case s.hub.revoked != nil && c.serial != "" && s.hub.revoked(c.serial):
		// Under the lock that Cut takes: what is revoked after this it finds.
		return ErrCut
	case len(s.open) >= s.limit:
		return fmt.Errorf("%w: more than %d data connections", ErrProtocol, s.limit)
	}
	s.open[number] = c
	s.capacity = max(s.capacity, len(s.open))
	s.proven = true
	c.used = s.hub.step.Load()
	s.idle = append(s.idle, c)
	s.serveWaiters()
	s.updateLoad()
	return nil
}

// missed notes that n wanted connections won't come. The next exchange or heartbeat decides
// whether to ask again. If somebody waits, that is decided at once.
func (s *Session) missed(n uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted -= int(min(int64(n), int64(s.wanted)))
	s.capacity = max(1, len(s.open)+s.wanted)
	if s.why == nil && s.waiting.length+s.moving.length > 0 {
		s.serveWaiters() // what was left to others because these were to come
		s.refill()
	}
}

// forget drops an idle connection that the Warpgate closed. One in use is its
// holder's to find broken.
func (s *Session) forget(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.open[number]
	if c == nil || c.holder != nil || c.carries {
		return
	}
	if i := slices.Index(s.idle, c); i >= 0 {
		s.idle = slices.Delete(s.idle, i, i+1)
	}
	delete(s.open, number)
	s.out.polite(c.Conn)
}

// drop takes c out of the pool, whether it is in use or not. The lock is held.
func (s *Session) drop(c *Conn) {
	if c.holder != nil {
		s.unhold(c)
	} else if i := slices.Index(s.idle, c); i >= 0 {
		s.idle = slices.Delete(s.idle, i, i+1)
	}
	delete(s.open, c.number)
	s.updateLoad()
}

// updateLoad brings load up to date, and tells a draining hub of the last exchange.
// The lock is held.
func (s *Session) updateLoad() {
	load := int64(s.inUse + s.waiting.length)
	quiet := load == 0
	if !s.proven {
		load += unproven
	}
	s.load.Store(load)
	if s.leaving && quiet {
		s.hub.calm() // after the load was stored: Drain looks at it
	}
}

// noteBegin notes that an exchange begins. The lock is held.
func (s *Session) noteBegin() {
	step := s.hub.step.Load()
	if step != s.lastBegin {
		s.before = s.level
		if s.level = s.inUse; step > s.lastBegin+1 {
			s.before = s.level // nothing began in the step before
		}
	}
	s.active = step-s.lastBegin < s.hub.steps(s.hub.limits.SurplusIdle)
	s.lastBegin = step
}

// lowWater is how many idle connections are kept. A Warpgate at rest keeps one, because
// most Warpgates of an edge do nothing most of the time. The lock is held.
func (s *Session) lowWater() int {
	least := 1
	if s.active {
		least = s.hub.limits.LowWater
	}
	return min(max(least, s.inUse/8), s.hub.limits.HighWater)
}

// rise is by how many exchanges the load has grown since the step before the present one
// began. The lock is held.
func (s *Session) rise() int {
	switch step := s.hub.step.Load(); {
	case step > s.lastBegin+1:
		return 0
	case step == s.lastBegin+1:
		return s.inUse - s.level
	}
	return s.inUse - s.before
}

// refill asks for connections if too few are idle or on their way. It asks for as many as
// are missing, or for a quarter of what the load rose by if that is more, because a load
// that rises goes on rising. The load that there was before doesn't count: with thousands of
// slow exchanges under way, a quarter of it would be asked for with every handful of quick
// ones, which would then wait behind all those handshakes. The lock is held.
func (s *Session) refill() {
	missing := s.waiting.length + s.moving.length + s.lowWater() - len(s.idle) - s.wanted
	if s.retired { // responses of exchanges under way may have to move still
		missing = s.moving.length - len(s.idle) - s.wanted
	}
	if missing <= 0 || s.leaving {
		return
	}
	n := min(max(missing, s.rise()/4), s.limit-len(s.open)-s.wanted)
	if n <= 0 {
		return
	}
	s.wanted += n
	s.wantedAt = s.hub.step.Load()
	s.out.send(appendCount(nil, frameWant, uint32(n)))
}

// sweep takes out the connections that idled too long: they lie at the bottom,
// since the top is taken first. The lock is held.
func (s *Session) sweep(step int64) []net.Conn {
	surplus := len(s.idle) - s.lowWater()
	surplusIdle, warmIdle := s.hub.steps(s.hub.limits.SurplusIdle), s.hub.steps(s.hub.limits.WarmIdle)
	n := 0
	for n < len(s.idle) {
		idle := step - s.idle[n].used
		if idle < surplusIdle || n >= surplus && idle < warmIdle {
			break
		}
		n++
	}
	return s.takeIdle(n)
}

// takeIdle takes n connections off the bottom of the pool. The lock is held.
func (s *Session) takeIdle(n int) []net.Conn {
	if n == 0 {
		return nil
	}
	taken := make([]net.Conn, 0, n)
	for _, c := range s.idle[:n] {
		delete(s.open, c.number)
		taken = append(taken, c.Conn)
	}
	s.idle = slices.Delete(s.idle, 0, n)
	return taken
}

// waiter is one Checkout that waits. It is given a connection, or nil when there
// will be none.
type waiter struct {
	conn       chan *Conn
	line       *line
	prev, next *waiter
	queued     bool
}

// waiters is a queue of them, of one address, first come first served.
type waiters struct {
	first, last *waiter
	length      int
}

// push adds a new waiter.
func (q *waiters) push() *waiter {
	w := &waiter{conn: make(chan *Conn, 1), prev: q.last, queued: true}
	if q.last == nil {
		q.first = w
	} else {
		q.last.next = w
	}
	q.last = w
	q.length++
	return w
}

// pop takes the first waiter, nil when there is none.
func (q *waiters) pop() *waiter {
	w := q.first
	if w != nil {
		q.remove(w)
	}
	return w
}

// remove takes w out, and reports whether it was still there.
func (q *waiters) remove(w *waiter) bool {
	if !w.queued {
		return false
	}
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.queued, w.prev, w.next = false, nil, nil
	q.length--
	return true
}

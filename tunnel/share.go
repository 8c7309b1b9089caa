package tunnel

import (
	"container/heap"
	"encoding/binary"
	"net/netip"
	"time"
)

const (
	// DefaultShare is the part of a Warpgate's data connections, in percent, that
	// one address holds at most while others wait for one.
	DefaultShare = 50
	// aloneShare is that part, in percent, while nobody else waits. It is nearly all,
	// because a company's network or a load balancer is one address to us. What is left
	// serves the next address at once.
	aloneShare = 90
	// spareInUse and spareHeld are the parts of the places that all, and one address, hold
	// at most while there is plenty of room: a quarter, and a sixteenth.
	spareInUse, spareHeld = 4, 16
	// An address that holds crowd places leaves the last leftIdle idle connections to
	// others while more connections are on their way. Otherwise a burst of thousands would
	// take each connection as it comes, also those that others give back, and all others
	// would wait for handshakes with it. A page, a script or a small network stays below
	// crowd. leftIdle is half of what is kept idle under load: the other half goes to the
	// burst.
	crowd, leftIdle = 64, 4
	// reclaimAfter is how long an exchange waits before its address gets a place that
	// another address holds beyond its share. Most exchanges take less, so that they end by
	// themselves before.
	reclaimAfter = time.Second
	// pressure is how long addresses are held to their share after somebody had to wait.
	pressure = 30 * time.Second
	// idleHolders is how many addresses that hold nothing a session remembers. One that
	// asks again and again costs no new memory each time.
	idleHolders = 64
)

// Address is a client's address as places are shared by it: an IPv4 address, or the
// /64 of an IPv6 address, since whoever has one address of that has all. If zero,
// it is unknown.
type Address uint64

// AddressOf is the Address of a.
func AddressOf(a netip.Addr) Address {
	switch a = a.Unmap(); {
	case a.Is4():
		b := a.As4()
		return 0xffffffff<<32 | Address(binary.BigEndian.Uint32(b[:])) // no /64 of a host begins with 32 ones
	case a.Is6():
		b := a.As16()
		return Address(binary.BigEndian.Uint64(b[:8]))
	}
	return 0
}

// MayHold reports whether a holder of some of what many share may take one more. free is
// what nobody holds. share is a percentage of free and held together, so that however many
// holders take all that they may, a part is left for the next one. The last one that is free
// goes only to a holder of none.
func MayHold(held, free, share int) bool {
	switch {
	case free <= 0:
		return false
	case held == 0 || share >= 100:
		return true
	}
	return held*(100-share) < share*(free-1)
}

// holder is what one address holds of a session, and who waits for more. All of it
// is guarded by the session.
type holder struct {
	address Address
	held    int
	queue   line   // for a place
	moves   line   // with a place, for a connection that carries the rest of a response
	newest  *Conn  // of those held
	turn    uint64 // when it was served last, among those that waited
}

// waits reports whether anything of h waits.
func (h *holder) waits() bool { return h.queue.length+h.moves.length > 0 }

// line is what waits of one address, and where it stands among the addresses.
type line struct {
	waiters
	of    *holder
	index int
}

// lines are a heap of them: first who holds fewest, then who was served least recently.
type lines []*line

func (q lines) Len() int { return len(q) }

func (q lines) Less(i, j int) bool {
	a, b := q[i].of, q[j].of
	if a.held != b.held {
		return a.held < b.held
	}
	return a.turn < b.turn
}

func (q lines) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *lines) Push(l any) {
	l.(*line).index = len(*q)
	*q = append(*q, l.(*line))
}

func (q *lines) Pop() any {
	last := len(*q) - 1
	l := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return l
}

// queue is what waits for one thing, address by address.
type queue struct {
	lines  lines
	length int // of all of them
}

// first is whose turn it is, or nil.
func (q *queue) first() *waiter {
	if len(q.lines) == 0 {
		return nil
	}
	return q.lines[0].first
}

// add makes a waiter in the line of an address.
func (q *queue) add(l *line) *waiter {
	w := l.push()
	w.line = l
	if q.length++; l.length == 1 {
		heap.Push(&q.lines, l)
	}
	return w
}

// remove takes w out, and reports whether it was still there.
func (q *queue) remove(w *waiter) bool {
	l := w.line
	if !l.remove(w) {
		return false
	}
	if q.length--; l.length == 0 {
		heap.Remove(&q.lines, l.index)
	}
	return true
}

// held says that an address holds more or fewer places than before.
func (q *queue) held(l *line) {
	if l.length > 0 {
		heap.Fix(&q.lines, l.index)
	}
}

// fail tells everybody who waits that there will be no connection.
func (q *queue) fail() {
	for _, l := range q.lines {
		for w := l.pop(); w != nil; w = l.pop() {
			w.conn <- nil
		}
	}
	clear(q.lines)
	q.lines, q.length = q.lines[:0], 0
}

// holder gives what the address holds, noting it down if need be. The lock is held.
func (s *Session) holder(a Address) *holder {
	h := s.holders[a]
	if h != nil {
		return h
	}
	if h = s.spare; h != nil {
		s.spare = nil
		h.address = a
	} else {
		h = &holder{address: a}
		h.queue.of, h.moves.of = h, h
	}
	if s.holders == nil {
		s.holders = map[Address]*holder{}
	}
	s.holders[a] = h
	return h
}

// unneeded forgets h if it holds nothing, waits for nothing, and there are many. The
// lock is held.
func (s *Session) unneeded(h *holder) {
	if h.held == 0 && !h.waits() && len(s.holders) > idleHolders {
		delete(s.holders, h.address)
		h.turn = 0
		s.spare = h
	}
}

// forgetHolders forgets whoever holds nothing and waits for nothing. The lock is held.
func (s *Session) forgetHolders() {
	for a, h := range s.holders {
		if h.held == 0 && !h.waits() {
			delete(s.holders, a)
		}
	}
	if s.heaviest = nil; len(s.holders) == 0 {
		s.holders, s.spare = nil, nil
	}
}

// hold notes that h has c. The lock is held.
func (s *Session) hold(h *holder, c *Conn) {
	c.holder, c.older = h, h.newest
	if h.newest != nil {
		h.newest.newer = c
	}
	h.newest = c
	h.held++
	s.inUse++
	s.requeue(h)
}

// unhold notes that nobody has c any more. The lock is held.
func (s *Session) unhold(c *Conn) {
	h := c.holder
	if c.newer == nil {
		h.newest = c.older
	} else {
		c.newer.older = c.older
	}
	if c.older != nil {
		c.older.newer = c.newer
	}
	c.holder, c.older, c.newer = nil, nil, nil
	if c.reclaimed.Load() {
		s.reclaiming--
	}
	h.held--
	s.inUse--
	s.requeue(h)
	s.unneeded(h)
}

// requeue moves h among those that wait, if it does. The lock is held.
func (s *Session) requeue(h *holder) {
	s.waiting.held(&h.queue)
	s.moving.held(&h.moves)
}

// mayHold reports whether h may have one more place now. The lock is held.
func (s *Session) mayHold(h *holder) bool {
	if !MayHold(h.held, s.capacity-s.inUse, max(s.hub.limits.Share, aloneShare)) {
		return false
	}
	return h.held < s.share() || !s.pressed()
}

// mayTake reports whether h may have one of the idle connections now, and a place with it. The
// lock is held.
func (s *Session) mayTake(h *holder) bool { return s.mayHold(h) && s.leaves(h) }

// leaves reports whether h leaves enough idle connections to others if it takes one. If h holds
// many and more connections are on their way, it may not: others get it. The lock is held.
func (s *Session) leaves(h *holder) bool {
	return h.held < crowd || len(s.idle) > leftIdle || s.wanted == 0
}

// Spare reports whether there is plenty of room: most places are free, and the address
// holds few of them. An exchange that waits counts as one that holds a place, so that a burst
// finds no more room than exchanges that come one by one. With plenty of room, an exchange
// may take a connection before it needs one.
func (s *Session) Spare(client Address) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := 0
	if h := s.holders[client]; h != nil {
		held = h.held + h.queue.length
	}
	return (s.inUse+s.waiting.length+1)*spareInUse <= s.capacity && (held+1)*spareHeld <= s.capacity
}

// share is how many places one address holds at most while others wait. The lock is
// held.
func (s *Session) share() int { return max(1, s.capacity*s.hub.limits.Share/100) }

// pressed reports whether somebody has waited for a place that another address held,
// now or lately. The lock is held.
func (s *Session) pressed() bool {
	return s.pressedAt != 0 && s.hub.step.Load()-s.pressedAt < s.hub.steps(pressure)
}

// enqueue makes a waiter for h, nil if too many wait. The lock is held.
func (s *Session) enqueue(h *holder) *waiter {
	if !MayHold(h.queue.length, s.hub.limits.MaxWaiters-s.waiting.length, max(s.hub.limits.Share, aloneShare)) {
		return nil
	}
	return s.waiting.add(&h.queue)
}

// dequeue takes w out, and reports whether it was still there. The lock is held.
func (s *Session) dequeue(w *waiter) bool {
	if !s.waiting.remove(w) {
		return false
	}
	s.unneeded(w.line.of)
	return true
}

// serveWaiters gives idle connections to those that wait, of both kinds in turn: to exchanges
// that have a place and move to a connection of their own, and to those that wait for a place.
// Neither can keep the other waiting, and of each the address comes first that holds fewest. When
// that one may have no more, none may. The lock is held.
func (s *Session) serveWaiters() {
	for len(s.idle) > 0 {
		moves, begins := s.moving.first(), s.waiting.first()
		if moves != nil && !s.leaves(moves.line.of) {
			moves = nil
		}
		if begins != nil && !s.mayTake(begins.line.of) {
			begins = nil
		}
		if moves == nil && begins == nil {
			return
		}
		c := s.popIdle()
		s.served++
		if s.movedLast = begins == nil || moves != nil && !s.movedLast; s.movedLast {
			moves.line.of.turn = s.served
			c.carries = true
			s.moving.remove(moves)
			moves.conn <- c
		} else {
			begins.line.of.turn = s.served
			s.hold(begins.line.of, c)
			s.dequeue(begins)
			begins.conn <- c
		}
	}
}

// reclaim is called for w when it has waited for a while. If it waits because of what others
// hold, every address is held to its share for some time. If one address holds more than
// that now, its newest exchanges are ended, as many as others wait for. The lock is held.
func (s *Session) reclaim(w *waiter) {
	h := w.line.of
	if s.mayHold(h) {
		return // it waits for one that is on its way
	}
	step := s.hub.step.Load()
	if s.heaviest == nil || s.weighedAt != step { // looking at all costs something
		s.heaviest, s.weighedAt = h, step
		for _, other := range s.holders {
			if other.held > s.heaviest.held {
				s.heaviest = other
			}
		}
	}
	most := s.heaviest
	if most.held <= h.held {
		return
	}
	s.pressedAt = max(step, 1)
	beyond := most.held - s.share()
	for c := most.newest; c != nil && beyond > 0 && s.reclaiming < s.waiting.length-most.queue.length; c = c.older {
		beyond--
		if !c.reclaimed.Swap(true) {
			s.reclaiming++
			s.hub.reclaimed.Add(1)
			abort(c.Conn)
		}
	}
}

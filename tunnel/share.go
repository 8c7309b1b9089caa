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
	// aloneShare is that part, in percent, while nobody else waits: nearly all, for
	// an office or a load balancer is one address to us. What is left over serves
	// whoever comes next at once.
	aloneShare = 90
	// spareInUse and spareHeld are the parts of the places that all, and one address, hold
	// at most while there is plenty of room: a quarter, and a sixteenth.
	spareInUse, spareHeld = 4, 16
	// crowd is how many places one address holds before it leaves the last idle
	// connections to others while more are on their way, and leftIdle is how many those
	// are. Otherwise a burst of thousands takes each connection as it comes, also those
	// that others give back, and all others wait for handshakes with it. A page, a script
	// or a small office stays below it; what is left is half of what is kept idle under
	// load, so that the rest of that goes to the crowd.
	crowd, leftIdle = 64, 4
	// reclaimAfter is how long an exchange waits before its address gets a place that
	// another holds beyond its share: longer than most exchanges take, so that what
	// ends by itself is not ended.
	reclaimAfter = time.Second
	// pressure is how long a session heeds the share after somebody had to wait.
	pressure = 30 * time.Second
	// idleHolders is how many addresses a session remembers that hold nothing: who
	// asks again and again is not noted down anew each time.
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

// MayHold reports whether somebody who holds some of what many share may take one
// more, when free is what nobody holds. His share is in percent of what he and
// nobody holds, so that however many take all that they may, a part is left for
// the next. Whoever holds nothing may take the last; others may not.
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
	queue   waiters
	newest  *Conn  // of those held
	turn    uint64 // when it was served last, among those that waited
	index   int    // among those that wait
}

// queues are the addresses that wait: first who holds fewest, then who was
// served least recently.
type queues []*holder

func (q queues) Len() int { return len(q) }

func (q queues) Less(i, j int) bool {
	if q[i].held != q[j].held {
		return q[i].held < q[j].held
	}
	return q[i].turn < q[j].turn
}

func (q queues) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queues) Push(h any) {
	h.(*holder).index = len(*q)
	*q = append(*q, h.(*holder))
}

func (q *queues) Pop() any {
	last := len(*q) - 1
	h := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return h
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
	if h.held == 0 && h.queue.length == 0 && len(s.holders) > idleHolders {
		delete(s.holders, h.address)
		h.turn = 0
		s.spare = h
	}
}

// forgetHolders forgets whoever holds nothing and waits for nothing. The lock is held.
func (s *Session) forgetHolders() {
	for a, h := range s.holders {
		if h.held == 0 && h.queue.length == 0 {
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
	if h.queue.length > 0 {
		heap.Fix(&s.waiting, h.index)
	}
}

// mayHold reports whether h may have one more place now. The lock is held.
func (s *Session) mayHold(h *holder) bool {
	if !MayHold(h.held, s.capacity-s.inUse, max(s.hub.limits.Share, aloneShare)) {
		return false
	}
	return h.held < s.share() || !s.pressed()
}

// mayTake reports whether h may have one of the idle connections now, or leaves it to
// others because more are on their way. The lock is held.
func (s *Session) mayTake(h *holder) bool {
	return s.mayHold(h) && (h.held < crowd || len(s.idle) > leftIdle || s.wanted == 0)
}

// Spare reports whether there is plenty of room: most places are free, and the address
// holds few of them. Whoever waits counts as if it held one: a burst finds no more room
// than those that come one by one. What need not hold one yet may take it then.
func (s *Session) Spare(client Address) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := 0
	if h := s.holders[client]; h != nil {
		held = h.held + h.queue.length
	}
	return (s.inUse+s.queued+1)*spareInUse <= s.capacity && (held+1)*spareHeld <= s.capacity
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
	if !MayHold(h.queue.length, s.hub.limits.MaxWaiters-s.queued, max(s.hub.limits.Share, aloneShare)) {
		return nil
	}
	w := h.queue.push(h)
	s.queued++
	if h.queue.length == 1 {
		heap.Push(&s.waiting, h)
	}
	return w
}

// dequeue takes w out, and reports whether it was still there. The lock is held.
func (s *Session) dequeue(w *waiter) bool {
	h := w.holder
	if !h.queue.remove(w) {
		return false
	}
	s.queued--
	if h.queue.length == 0 {
		heap.Remove(&s.waiting, h.index)
		s.unneeded(h)
	}
	return true
}

// serveWaiters gives idle connections to those that wait, first to the address that
// holds fewest. When that one may have no more, none may. The lock is held.
func (s *Session) serveWaiters() {
	for len(s.idle) > 0 && len(s.waiting) > 0 && s.mayTake(s.waiting[0]) {
		h := s.waiting[0]
		w := h.queue.first
		s.served++
		h.turn = s.served
		c := s.popIdle()
		s.hold(h, c)
		s.dequeue(w)
		w.conn <- c
	}
}

// failWaiters tells everybody who waits that there will be no connection. The lock is
// held.
func (s *Session) failWaiters() {
	for _, h := range s.waiting {
		for w := h.queue.pop(); w != nil; w = h.queue.pop() {
			w.conn <- nil
		}
	}
	clear(s.waiting)
	s.waiting, s.queued = s.waiting[:0], 0
}

// reclaim is for w, which has waited for a while because of what others hold: it notes
// the pressure, and where one address holds more than its share, it ends the newest of
// that one's exchanges in favour of those that wait. The lock is held.
func (s *Session) reclaim(w *waiter) {
	if s.mayHold(w.holder) {
		return // it waits for one that is on its way
	}
	step := s.hub.step.Load()
	if s.heaviest == nil || s.weighedAt != step { // looking at all costs something
		s.heaviest, s.weighedAt = w.holder, step
		for _, h := range s.holders {
			if h.held > s.heaviest.held {
				s.heaviest = h
			}
		}
	}
	most := s.heaviest
	if most.held <= w.holder.held {
		return
	}
	s.pressedAt = max(step, 1)
	over := most.held - s.share()
	for c := most.newest; c != nil && over > 0 && s.reclaiming < s.queued-most.queue.length; c = c.older {
		over--
		if !c.reclaimed.Swap(true) {
			s.reclaiming++
			s.hub.reclaimed.Add(1)
			abort(c.Conn)
		}
	}
}

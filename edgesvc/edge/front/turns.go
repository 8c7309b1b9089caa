package front

import (
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// handshakesPerCore is how many handshakes compute at once for each core: while one waits
// for the scheduler another one goes on, and more of them would only keep requests waiting.
const handshakesPerCore = 2

// turnWait bounds the wait for a turn. Whoever waited for most of handshakeTimeout would compute
// for nothing, since what remains is too short for the rest: when more come than can be served,
// some end early, and the others get done.
const turnWait = 3 * time.Second

// turns lets so many handshakes compute at once. Those that wait go on in turn by address, so
// that whoever comes with thousands waits for their own. It is safe for concurrent use.
type turns struct {
	mu    sync.Mutex
	free  int
	lines map[netip.Prefix]*line
	order []*line // that have somebody waiting, the next one first
}

// line is who waits of one address, longest first.
type line struct {
	from    netip.Prefix
	waiting []*turn
}

// turn is one handshake that waits to compute.
type turn struct {
	granted chan struct{} // closed when it may
	left    bool          // it waits no more; guarded by turns
}

func newTurns(most int) *turns { return &turns{free: most, lines: map[netip.Prefix]*line{}} }

// take waits for a turn, for turnWait at most and not beyond that time, or until cut is closed.
// One that goes on comes before those of its address that only begin.
func (t *turns) take(from netip.Prefix, goesOn bool, by time.Time, cut <-chan struct{}) error {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	w := &turn{granted: make(chan struct{})}
	l := t.lines[from]
	if l == nil {
		l = &line{from: from}
		t.lines[from] = l
		t.order = append(t.order, l)
	}
	if goesOn {
		l.waiting = slices.Insert(l.waiting, 0, w)
	} else {
		l.waiting = append(l.waiting, w)
	}
	t.mu.Unlock()
	late := time.NewTimer(min(time.Until(by), turnWait))
	defer late.Stop()
	select {
	case <-w.granted:
		return nil
	case <-late.C:
	case <-cut:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-w.granted: // both happened in the same moment
		t.next()
	default:
		w.left = true
	}
	return os.ErrDeadlineExceeded
}

// give ends a turn.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next()
}

// next gives a turn to who has waited longest of the address that is next. The lock is held.
func (t *turns) next() {
	for len(t.order) > 0 {
		l := t.order[0]
		t.order[0] = nil
		t.order = t.order[1:]
		w := l.waiting[0]
		l.waiting[0] = nil
		if l.waiting = l.waiting[1:]; len(l.waiting) > 0 {
			t.order = append(t.order, l)
		} else {
			delete(t.lines, l.from)
		}
		if !w.left {
			close(w.granted)
			return
		}
	}
	t.free++
}

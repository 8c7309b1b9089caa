package waf

import (
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tunnel"
)

// How the time of the rules is shared.
const (
	// maxWait bounds the wait for a turn. Whoever waits for longer gets 503: a queue that grows
	// would only make all wait.
	maxWait = 500 * time.Millisecond
	// addressShare is the part of the time of all turns, in percent, that one address may take over
	// shareWindow.
	addressShare = 20
	shareWindow  = 10 * time.Second
	// lightValues and lightBytes bound what is light: it takes some milliseconds. A turn is always
	// kept for what is light, so that it never waits behind what takes a tenth of a second.
	lightValues, lightBytes = 32, 2 << 10
	// maxWaiting bounds how many wait. More would wait for longer than maxWait anyway.
	maxWaiting = 4096
)

// turns lets so many requests be judged at once, and the others wait in turn: by environment, and
// in each by address. Make it with newTurns.
type turns struct {
	mu      sync.Mutex
	slots   int
	busy    int
	heavy   int // of them
	waiting int
	queues  [2]queue // of what is light, and of what is heavy
	last    int      // which of them was served last
	spent   map[tunnel.Address]spent
	now     func() time.Time
}

// spent is what an address took of the time of all turns, less what it was given since.
type spent struct {
	level time.Duration
	at    time.Time
}

// newTurns shares what cores can do: one is left for all else. There are two turns at least, one of
// them for what is light.
func newTurns(cores int, now func() time.Time) *turns {
	return &turns{slots: max(2, cores-1), spent: map[tunnel.Address]spent{}, now: now}
}

var (
	errShare = &mezu.Error{Code: mezu.CodeRateLimited, Detail: "this address takes more than its share of the firewall's time"}
	errBusy  = &mezu.Error{Code: mezu.CodeOverloaded, Detail: "the firewall has too much to look at"}
)

// queue is what waits, in turn.
type queue struct {
	environments []*environment
}

type environment struct {
	name  string
	lines []*line
}

type line struct {
	address tunnel.Address
	waiters []*waiter
}

type waiter struct {
	turn chan struct{}
	left bool // it waits no more
}

// taken is how many turns are taken.
func (t *turns) taken() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.busy
}

// take waits for a turn. free says that the address may take as much as it likes. The turn is over
// when done is called. If the address has taken its share, wait is how long it takes no more.
func (t *turns) take(environment string, address tunnel.Address, heavy, free bool) (done func(), wait time.Duration, err error) {
	kind := 0
	if heavy {
		kind = 1
	}
	t.mu.Lock()
	if !free {
		wait = t.exceeded(address)
	}
	switch {
	case wait > 0:
		t.mu.Unlock()
		return nil, wait, errShare
	case t.may(kind) && t.queues[kind].empty():
		t.start(kind)
		t.mu.Unlock()
	case t.waiting >= maxWaiting:
		t.mu.Unlock()
		return nil, 0, errBusy
	default:
		w := &waiter{turn: make(chan struct{})}
		t.queues[kind].add(environment, address, w)
		t.waiting++
		t.mu.Unlock()
		if !t.wait(w) {
			return nil, 0, errBusy
		}
	}
	began := t.now()
	return func() { t.end(kind, address, t.now().Sub(began)) }, 0, nil
}

// wait waits until it is w's turn.
func (t *turns) wait(w *waiter) bool {
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case <-w.turn:
		return true
	case <-timer.C:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-w.turn: // in the same moment
		return true
	default:
		w.left = true
		t.waiting--
		return false
	}
}

// may reports whether one more may begin. What is heavy leaves a turn for what is light.
func (t *turns) may(kind int) bool {
	return t.busy < t.slots && (kind == 0 || t.heavy < t.slots-1)
}

func (t *turns) start(kind int) {
	t.busy++
	t.heavy += kind
	t.last = kind
}

// end ends a turn that took so long, and begins others.
func (t *turns) end(kind int, address tunnel.Address, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy--
	t.heavy -= kind
	t.charge(address, took)
	for {
		next := 1 - t.last // in turn, so that neither keeps the other from ever beginning
		w := t.next(next)
		if w == nil {
			next = t.last
			w = t.next(next)
		}
		if w == nil {
			return
		}
		t.start(next)
		close(w.turn)
	}
}

// next takes who is next of a kind, nil if nobody is or none may begin.
func (t *turns) next(kind int) *waiter {
	if !t.may(kind) {
		return nil
	}
	w := t.queues[kind].take()
	if w != nil {
		t.waiting--
	}
	return w
}

// rate is how much of the time of all turns an address is given in a second.
func (t *turns) rate() float64 { return float64(t.slots) * addressShare / 100 }

// level is what an address has spent by now.
func (t *turns) level(address tunnel.Address) time.Duration {
	s := t.spent[address]
	return max(0, s.level-time.Duration(float64(t.now().Sub(s.at))*t.rate()))
}

// exceeded is for how long an address has taken its share, if nothing of it is judged meanwhile; zero if
// it has not.
func (t *turns) exceeded(address tunnel.Address) time.Duration {
	over := t.level(address) - time.Duration(t.rate()*float64(shareWindow))
	return time.Duration(max(0, float64(over)/t.rate()))
}

// charge notes what an address took. Those who have nothing left to be forgotten for are dropped:
// all addresses together are given more than they can take, so few are left.
func (t *turns) charge(address tunnel.Address, took time.Duration) {
	t.spent[address] = spent{t.level(address) + took, t.now()}
	if len(t.spent) > maxWaiting {
		for a := range t.spent {
			if t.level(a) == 0 {
				delete(t.spent, a)
			}
		}
	}
}

func (q *queue) empty() bool { return len(q.environments) == 0 }

func (q *queue) add(name string, address tunnel.Address, w *waiter) {
	var e *environment
	for _, other := range q.environments {
		if other.name == name {
			e = other
		}
	}
	if e == nil {
		e = &environment{name: name}
		q.environments = append(q.environments, e)
	}
	for _, l := range e.lines {
		if l.address == address {
			l.waiters = append(l.waiters, w)
			return
		}
	}
	e.lines = append(e.lines, &line{address, []*waiter{w}})
}

// take takes the first waiter of the first address of the first environment, and puts both last.
func (q *queue) take() *waiter {
	for len(q.environments) > 0 {
		e := q.environments[0]
		q.environments = q.environments[1:]
		l := e.lines[0]
		e.lines = e.lines[1:]
		var w *waiter
		for w == nil && len(l.waiters) > 0 {
			if w = l.waiters[0]; w.left {
				w = nil
			}
			l.waiters = l.waiters[1:]
		}
		if len(l.waiters) > 0 {
			e.lines = append(e.lines, l)
		}
		if len(e.lines) > 0 {
			q.environments = append(q.environments, e)
		}
		if w != nil {
			return w
		}
	}
	return nil
}

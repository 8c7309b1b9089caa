package webhook

import (
	"container/heap"
	"sync"
	"time"
)

const (
	// maxRemembered bounds the deliveries that an edge remembers. They take 39 MiB, measured. Only a
	// verified delivery is remembered, so nobody without a secret can fill it.
	maxRemembered = 1 << 18
	// maxRememberedOf is what one environment may take of it, an eighth: 100 deliveries a second
	// for the five minutes that they are remembered.
	maxRememberedOf = maxRemembered / 8
)

// errRepeat refuses a delivery that came before.
var errRepeat = refuse("this was delivered before")

// memory is the deliveries that must not be repeated. What it has forgotten it refuses by its
// time: the clock may be set back, and there may be more deliveries than it can remember.
type memory struct {
	mu           sync.Mutex
	environments map[string]*remembered
	total        int
	most, mostOf int // for tests
}

// remembered are the deliveries of one environment.
type remembered struct {
	known map[[16]byte]*delivered
	queue queue
	// forgotten is, by webhook, the latest time of a delivery that was forgotten.
	forgotten map[string]time.Time
}

// delivered is one delivery, under way or taken.
type delivered struct {
	key     [16]byte
	webhook string
	at      time.Time
	until   time.Time // when it may be forgotten: it is refused by its time from then on
	index   int       // in the queue
}

func newMemory() *memory {
	return &memory{environments: map[string]*remembered{}, most: maxRemembered, mostOf: maxRememberedOf}
}

// begin remembers a delivery that is about to be forwarded, or refuses it as a repeat. end is to
// be called when its outcome is known: one that was not taken may come again.
func (m *memory) begin(environment, webhook string, d Delivery, now time.Time, tolerance time.Duration) (end func(taken bool), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := m.environments[environment]
	if of == nil {
		of = &remembered{known: map[[16]byte]*delivered{}, forgotten: map[string]time.Time{}}
		m.environments[environment] = of
	}
	for len(of.queue) > 0 && now.After(of.queue[0].until) {
		m.forget(of)
	}
	if last, some := of.forgotten[webhook]; of.known[d.Key] != nil || some && !d.At.After(last) {
		return nil, errRepeat
	}
	if len(of.known) >= m.mostOf {
		m.forget(of)
	} else if m.total >= m.most {
		m.forget(m.largest())
	}
	until := d.At
	if now.After(until) {
		until = now // the same id may come with a later time
	}
	one := &delivered{key: d.Key, webhook: webhook, at: d.At, until: until.Add(tolerance)}
	of.known[d.Key] = one
	heap.Push(&of.queue, one)
	m.total++
	return func(taken bool) {
		if taken {
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if of.known[one.key] == one {
			m.remove(of, one)
		}
	}, nil
}

// forget forgets the oldest delivery of an environment: from now on nothing of its webhook that
// is as old passes.
func (m *memory) forget(of *remembered) {
	one := of.queue[0]
	m.remove(of, one)
	if one.at.After(of.forgotten[one.webhook]) {
		of.forgotten[one.webhook] = one.at
	}
}

func (m *memory) remove(of *remembered, one *delivered) {
	heap.Remove(&of.queue, one.index)
	delete(of.known, one.key)
	m.total--
}

// largest is the environment that has most.
func (m *memory) largest() *remembered {
	var most *remembered
	for _, of := range m.environments {
		if most == nil || len(of.known) > len(most.known) {
			most = of
		}
	}
	return most
}

// drop forgets an environment that is gone.
func (m *memory) drop(environment string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if of := m.environments[environment]; of != nil {
		m.total -= len(of.known)
		of.known, of.queue = nil, nil // for who still holds one
		delete(m.environments, environment)
	}
}

// queue orders deliveries by when they may be forgotten.
type queue []*delivered

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].until.Before(q[j].until) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queue) Push(x any) {
	one := x.(*delivered)
	one.index = len(*q)
	*q = append(*q, one)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	one := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return one
}

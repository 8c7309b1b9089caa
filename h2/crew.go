package h2

import (
	"sync"
	"time"
)

// Crew runs jobs on goroutines that are kept for the next ones: their stacks have grown to what
// a job needs. It is safe for concurrent use. If zero, it has no goroutine.
type Crew struct {
	mu     sync.Mutex
	idle   []*hand // the one that has waited longest first
	sweeps *time.Timer
	armed  bool
	closed bool
	all    sync.WaitGroup
}

// crewLife is how long a goroutine waits for a job.
const crewLife = 10 * time.Second

// job is what a goroutine of a crew does.
type job interface{ work() }

// hand is one goroutine.
type hand struct {
	jobs  chan job // nil ends it
	since time.Time
}

// do has a goroutine do a job.
func (c *Crew) do(j job) {
	c.mu.Lock()
	if n := len(c.idle) - 1; n >= 0 {
		h := c.idle[n]
		c.idle[n] = nil
		c.idle = c.idle[:n]
		c.mu.Unlock()
		h.jobs <- j
		return
	}
	c.all.Add(1)
	c.mu.Unlock()
	go c.run(&hand{jobs: make(chan job, 1)}, j)
}

func (c *Crew) run(h *hand, j job) {
	defer c.all.Done()
	for ; j != nil; j = <-h.jobs {
		j.work()
		if !c.rest(h) {
			return
		}
	}
}

// rest has a goroutine wait, unless there is nothing to come.
func (c *Crew) rest(h *hand) bool {
	h.since = time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.idle = append(c.idle, h)
	if !c.armed {
		c.arm(crewLife)
	}
	return true
}

// arm has the next sweep done after d. The lock is held.
func (c *Crew) arm(d time.Duration) {
	c.armed = true
	if c.sweeps == nil {
		c.sweeps = time.AfterFunc(d, c.sweep)
		return
	}
	c.sweeps.Reset(d)
}

// sweep ends those that have waited for too long.
func (c *Crew) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	n := 0
	for n < len(c.idle) && now.Sub(c.idle[n].since) >= crewLife {
		c.idle[n].jobs <- nil // it waits, so there is room
		n++
	}
	kept := copy(c.idle, c.idle[n:])
	clear(c.idle[kept:])
	c.idle = c.idle[:kept]
	c.armed = false
	if kept > 0 && !c.closed {
		c.arm(crewLife - now.Sub(c.idle[0].since))
	}
}

// Close ends those that wait, and the others when their job is done, and returns when all have
// ended.
func (c *Crew) Close() {
	c.mu.Lock()
	c.closed = true
	for _, h := range c.idle {
		h.jobs <- nil
	}
	c.idle = nil
	if c.sweeps != nil {
		c.sweeps.Stop()
	}
	c.mu.Unlock()
	c.all.Wait()
}

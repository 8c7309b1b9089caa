package relay

import (
	"sync"
	"time"
)

// Pace holds the sender of a body to a least rate. The sender has a credit of time. Waiting
// for the sender uses it up, and each byte that comes adds to it. So a sender may fall behind
// by as much as its credit. Time in which the receiver doesn't read costs the sender nothing.
//
// Begin starts it for a body. A zero or nil Pace has no least rate. Its methods may be called
// from several goroutines.
type Pace struct {
	each time.Duration // what a byte adds to the credit; zero: there is no least rate
	most time.Duration // the credit's bound

	mu      sync.Mutex
	stop    interface{ StopUpload() }
	credit  time.Duration
	since   time.Time // when the wait under way began
	waiting bool
	slow    bool // the credit is used up
	off     bool
	armed   bool
	timer   *time.Timer
}

// Begin holds the body that comes now to rate bytes a second. grace is the credit at first,
// most is the highest that bytes may raise it to. When the credit is used up, StopUpload of
// stop is called to end the read under way.
func (p *Pace) Begin(rate int64, grace, most time.Duration, stop interface{ StopUpload() }) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.each, p.most = time.Second/time.Duration(rate), max(grace, most)
	p.credit, p.stop = grace, stop
	p.waiting, p.slow, p.off = false, false, false
}

// End ends what Begin began. After it StopUpload is not called any more.
func (p *Pace) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.each, p.stop, p.waiting = 0, nil, false
	if p.armed {
		p.armed = false
		p.timer.Stop()
	}
}

// set switches the least rate off or on again, between Begin and End. While it is off
// StopUpload is not called.
func (p *Pace) set(off bool) {
	if p == nil || p.each == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = off
	p.waiting = p.waiting && !off
}

// Next calls the source's Next, and counts the time and the bytes.
func (p *Pace) Next(src Source) ([]byte, error) {
	if p == nil || p.each == 0 {
		return src.Next()
	}
	if src.Ready() {
		b, err := src.Next()
		p.earn(len(b))
		return b, err
	}
	p.wait()
	b, err := src.Next()
	if p.came(len(b)) {
		return nil, ErrSlowBody
	}
	return b, err
}

// wait notes that a wait for the sender begins.
func (p *Pace) wait() {
	if p == nil || p.each == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off || p.slow || p.waiting {
		return
	}
	p.waiting, p.since = true, time.Now()
	if p.armed {
		return // it rings when it has to or before, and then looks again
	}
	p.armed = true
	if p.timer == nil {
		p.timer = time.AfterFunc(p.credit, p.ring)
		return
	}
	p.timer.Reset(p.credit)
}

// came notes that n bytes came, and reports whether the sender was too slow.
func (p *Pace) came(n int) (slow bool) {
	if p == nil || p.each == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting {
		p.waiting = false
		p.credit -= time.Since(p.since)
	}
	p.add(n)
	return p.slow
}

// earn adds n bytes that nobody had to wait for.
func (p *Pace) earn(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(n)
}

// add adds what n bytes are worth. The lock is held.
func (p *Pace) add(n int) {
	p.credit = min(max(p.credit, 0)+time.Duration(n)*p.each, p.most)
}

// ring looks whether the credit is used up.
func (p *Pace) ring() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.armed {
		return
	}
	p.armed = false
	if !p.waiting {
		return
	}
	if left := p.credit - time.Since(p.since); left > 0 {
		p.armed = true
		p.timer.Reset(left)
		return
	}
	p.slow, p.waiting = true, false
	p.stop.StopUpload()
}

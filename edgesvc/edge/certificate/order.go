package certificate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/mezusphere/mezu/trust"
)

const (
	// orderPause lies between a failed try and the next one for the same host;
	// it doubles up to maxOrderPause.
	orderPause    = 5 * time.Second
	maxOrderPause = 5 * time.Minute
)

// order is the state of getting one endpoint's certificate.
type order struct {
	done     chan struct{} // closed when the try under way has ended; nil if there is none
	err      error         // of the last try
	pause    time.Duration // after the last failure
	notUntil time.Time     // when the next try may begin
}

// Run gets certificates that are missing or due until ctx ends.
func (s *Store) Run(ctx context.Context) {
	if s.pair != nil {
		s.pair.noticeEnd(ctx, s.cfg.Log)
		return
	}
	var wg sync.WaitGroup
	for range issuers {
		wg.Go(func() { s.issue(ctx) })
	}
	s.sweep(ctx)
	wg.Wait()
}

// sweep looks for certificates that are due, at once and then every sweepInterval.
func (s *Store) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		s.orderDue()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// poke wakes one of the goroutines that wait for the queue.
func (s *Store) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// orderFirst puts an endpoint at the head of the queue, unless it failed a moment
// ago. The channel is closed when the try has ended.
func (s *Store) orderFirst(e *entry) (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.order.done != nil {
		return e.order.done, nil
	}
	if e.order.err != nil && s.cfg.Now().Before(e.order.notUntil) {
		return nil, fmt.Errorf("getting the certificate of endpoint %s: %w", e.label, e.order.err)
	}
	e.order.done = make(chan struct{})
	s.queue = append([]*entry{e}, s.queue...)
	s.poke()
	return e.order.done, nil
}

// Order has the certificate of an endpoint got if it is missing or due for renewal, and the
// endpoint is served.
func (s *Store) Order(label string) {
	if e := s.entries.Get(label); e != nil {
		s.order(e)
	}
}

// order queues an endpoint whose certificate is missing or due.
func (s *Store) order(e *entry) {
	now := s.cfg.Now()
	if c := e.cert.Load(); c != nil && now.Before(trust.RenewAt(c.Leaf)) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.order.done != nil || now.Before(e.order.notUntil) {
		return
	}
	e.order.done = make(chan struct{})
	s.queue = append(s.queue, e)
	s.poke()
}

// orderDue queues all endpoints whose certificate is missing or due.
func (s *Store) orderDue() {
	for e := range s.entries.All {
		s.order(e)
	}
}

// Retry ends the pauses after failures, because the control plane is back.
func (s *Store) Retry() {
	s.mu.Lock()
	for e := range s.entries.All {
		e.order.notUntil, e.order.pause = time.Time{}, 0
	}
	s.mu.Unlock()
	s.orderDue()
}

// issue works the queue off until ctx ends.
func (s *Store) issue(ctx context.Context) {
	for {
		s.mu.Lock()
		var e *entry
		if len(s.queue) > 0 {
			e, s.queue = s.queue[0], s.queue[1:]
			if len(s.queue) > 0 {
				s.poke()
			}
		}
		s.mu.Unlock()
		if e == nil {
			select {
			case <-s.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		s.finishOrder(ctx, e, s.obtain(ctx, e))
	}
}

// finishOrder notes how a try ended and wakes whoever waits for it.
func (s *Store) finishOrder(ctx context.Context, e *entry, err error) {
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("getting the certificate of an endpoint; trying again", "endpoint", e.label, "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &e.order
	close(o.done)
	o.done, o.err = nil, err
	if err == nil {
		o.pause, o.notUntil = 0, time.Time{}
		return
	}
	o.pause = min(max(2*o.pause, orderPause), maxOrderPause)
	o.notUntil = s.cfg.Now().Add(o.pause/2 + rand.N(o.pause/2))
}

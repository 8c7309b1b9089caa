package main

import (
	"strings"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/tunnel/show"
	"github.com/mezusphere/mezu/local"
)

const (
	// maxRefusals is how many requests that the edge has answered itself are shown in each
	// refusalSpan: all of a page's, and more than anybody reads. Of the others the number is.
	maxRefusals = 100
	refusalSpan = time.Second
)

// refusals says which of the requests that the edge has answered itself are shown, so that a flood
// of them floods no terminal. It is safe for concurrent use.
type refusals struct {
	now func() time.Time
	// missed is told, after a span, how many were not shown in it. The lock is held: after end there
	// is no more of it.
	missed func(n uint64)

	mu     sync.Mutex
	since  time.Time // of the span
	shown  int
	passed uint64      // by, unshown
	timer  *time.Timer // of the word of those, nil if there are none
	ended  bool
}

// take reports whether one more is shown.
func (r *refusals) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if now.Sub(r.since) >= refusalSpan {
		r.since, r.shown = now, 0
	}
	if r.shown < maxRefusals {
		r.shown++
		return true
	}
	r.passed++
	if r.timer == nil && !r.ended {
		r.timer = time.AfterFunc(refusalSpan, r.tell)
	}
	return false
}

// tell says how many were not shown since it said so last.
func (r *refusals) tell() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.say()
}

// say is tell under the lock.
func (r *refusals) say() {
	n := r.passed
	r.passed, r.timer = 0, nil
	if n > 0 {
		r.missed(n)
	}
}

// end says what is still to be said.
func (r *refusals) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	if r.timer != nil {
		r.timer.Stop()
	}
	r.say()
}

// unserved shows a request that the edge has answered itself.
func (d *devOutput) unserved(made func() mezu.Event) {
	if d.refusals.take() {
		e := made()
		d.mu.Lock()
		defer d.mu.Unlock()
		d.show(e)
	}
}

// unshown says that more requests were refused than are shown.
func (d *devOutput) unshown(n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.JSON {
		if err := d.WriteLine(local.Event{Event: mezu.Event{Event: local.EventGap, Time: time.Now()}, Missed: n}); err != nil {
			d.events.Log.Error("writing an event", "error", err)
		}
		return
	}
	d.Warnf("%s more requests were answered by the edge itself: too many to show", show.Count(n))
}

// answeredByEdge reports whether the edge tells of a request, so that the Warpgate's word of it is
// one too many: it got no answer from there. A replay comes by no edge.
func answeredByEdge(e mezu.Event) bool {
	status, _ := e.Status.(int)
	return status == 0 && !strings.HasPrefix(e.ID, mezu.PrefixReplay)
}

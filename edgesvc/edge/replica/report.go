package replica

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/backoff"
)

const (
	// fullReportInterval is how often all presence is said again, against
	// whatever was lost.
	fullReportInterval = 5 * time.Minute
	// reportSpacing lies between two reports, so that a burst of changes goes
	// in a few.
	reportSpacing = 100 * time.Millisecond
	// reportRetry lies between a failed report and the next.
	reportRetry = 2 * time.Second
	// maxPending bounds the changes that wait; past it everything is said anew.
	// An edge is built for 10,000 Warpgates.
	maxPending = 20_000
)

// reporter collects what the control plane has not been told yet.
type reporter struct {
	mu      sync.Mutex
	pending map[string]mezu.Presence // the last word by Warpgate
	full    bool
	wake    chan struct{}

	// told are the Warpgates that the control plane may hold for connected here,
	// and retracted says that it was told once in this life to forget all others.
	// Only the reporting goroutine uses them.
	told      map[string]mezu.Presence
	retracted bool
}

func (p *reporter) init() {
	p.pending = map[string]mezu.Presence{}
	p.told = map[string]mezu.Presence{}
	p.wake = make(chan struct{}, 1)
	p.full = true
}

// poke asks for a report soon.
func (p *reporter) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// requireFull makes the next report a full one.
func (p *reporter) requireFull() {
	p.mu.Lock()
	p.full = true
	clear(p.pending)
	p.mu.Unlock()
	p.poke()
}

// take empties the reporter. Changes after it go into the next report, also those
// that a full one already saw.
func (p *reporter) take() (full bool, changes []mezu.Presence) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.pending {
		changes = append(changes, c)
	}
	full = p.full
	p.full = false
	clear(p.pending)
	return full, changes
}

// PresenceChanged queues the change for the next report. Of several changes of
// one Warpgate the last counts. It never blocks.
func (r *Replica) PresenceChanged(change mezu.Presence) {
	p := &r.reporter
	p.mu.Lock()
	switch {
	case p.full:
		// The full report will see it.
	case len(p.pending) >= maxPending:
		p.full = true
		clear(p.pending)
	default:
		p.pending[change.Warpgate] = change
	}
	p.mu.Unlock()
	p.poke()
}

// report tells the control plane of presence and position until ctx ends: at
// once when something changed, and every api.EdgeReportInterval.
func (r *Replica) report(ctx context.Context) {
	ticker := time.NewTicker(api.EdgeReportInterval)
	defer ticker.Stop()
	full := time.NewTicker(fullReportInterval)
	defer full.Stop()
	var trouble hourly
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.reporter.wake:
		case <-ticker.C:
		case <-full.C:
			r.reporter.requireFull()
		}
		pause := reportSpacing
		if err := r.reportOnce(ctx); err != nil {
			// What the control plane knows now can't be told from here.
			r.reporter.requireFull()
			pause = reportRetry
			if ctx.Err() == nil && trouble.due() {
				r.log.Warn("reporting to the control plane; trying again", "error", err)
			}
		} else {
			trouble = hourly{}
		}
		if backoff.Sleep(ctx, pause) != nil {
			return
		}
	}
}

// reportOnce says what there is to say, in as many calls as it takes; without
// changes in one that shows that the edge lives.
func (r *Replica) reportOnce(ctx context.Context) error {
	full, changes := r.reporter.take()
	if full {
		full, changes = r.everything()
	}
	client := r.self.Load().client
	for {
		n := min(len(changes), api.MaxReportPresence)
		page := changes[:n]
		r.reporter.telling(page)
		body := api.EdgeReport{Full: full, Presence: page, Applied: r.settledAt(), Version: r.cfg.Version,
			TunnelAddress: r.cfg.TunnelAddress, PublicAddress: r.cfg.PublicAddress}
		if err := client.Do(ctx, api.Call{Operation: api.OpEdgeReport, Body: body}, nil); err != nil {
			return fmt.Errorf("reporting: %w", err)
		}
		r.reporter.said(full, page)
		if changes, full = changes[n:], false; len(changes) == 0 {
			return nil
		}
	}
}

// everything is all presence. A report that is full takes back what it does not
// name, so one that has to go in pages is full once in a life, when there is
// something to take back of an earlier one; after that it names what is gone.
func (r *Replica) everything() (full bool, changes []mezu.Presence) {
	if r.cfg.Presence != nil {
		changes = r.cfg.Presence()
	}
	p := &r.reporter
	if len(changes) <= api.MaxReportPresence || !p.retracted {
		return true, changes
	}
	held := make(map[string]bool, len(changes))
	for _, c := range changes {
		held[c.Warpgate] = true
	}
	for _, c := range p.told {
		if !held[c.Warpgate] {
			c.Connected, c.Since = false, r.now()
			changes = append(changes, c)
		}
	}
	return false, changes
}

// telling notes what the control plane will believe if the report arrives.
func (p *reporter) telling(page []mezu.Presence) {
	for _, c := range page {
		if c.Connected {
			p.told[c.Warpgate] = c
		}
	}
}

// said notes that a report arrived.
func (p *reporter) said(full bool, page []mezu.Presence) {
	if full {
		p.retracted = true
		clear(p.told)
		p.telling(page)
	}
	for _, c := range page {
		if !c.Connected {
			delete(p.told, c.Warpgate)
		}
	}
}

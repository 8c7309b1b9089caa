// Package report tells the control plane which Warpgates an edge holds, and up to where
// what the control plane said is in force there.
//
// What lives here: what is still to be told, and when. What may not: who is connected
// (package tunnel) and what is in force (package replica); both are handed in. Only
// edgesvc/edge/member imports it.
package report

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/backoff"
)

const (
	// fullReportInterval is how often all presence is reported again, in case something
	// was lost.
	fullReportInterval = 5 * time.Minute
	// reportSpacing lies between two reports, so that a burst of changes takes a few
	// calls.
	reportSpacing = 100 * time.Millisecond
	// reportRetry lies between a failed report and the next.
	reportRetry = 2 * time.Second
	// maxPending bounds the changes that wait; past it everything is reported instead.
	// An edge is built for 10,000 Warpgates.
	maxPending = 20_000
)

// Config says what is reported and to whom. All but Presence is required.
type Config struct {
	// Client calls the control plane as the edge that it has enrolled.
	Client func() *api.Client
	// Applied is the position up to which the stream is in force and on disk.
	Applied func() mezu.Position
	// Presence lists the Warpgates that the edge holds now; if nil, none.
	Presence func() []mezu.Presence
	// TunnelAddress, PublicAddress and Version are what the edge says of itself.
	TunnelAddress, PublicAddress, Version string
	Log                                   *slog.Logger
	Now                                   func() time.Time
}

// Reporter collects what the control plane has not been told yet, and tells it. It is safe
// for concurrent use.
type Reporter struct {
	cfg Config

	mu      sync.Mutex
	pending map[string]mezu.Presence // the last change by Warpgate
	full    bool
	wake    chan struct{}

	// told are the Warpgates that the control plane may take for connected here.
	// retracted says that it got a full report of this process, so that it holds none of
	// an earlier process's for connected. Only Run's goroutine uses them.
	told      map[string]mezu.Presence
	retracted bool
}

// New makes a reporter whose first report is a full one.
func New(cfg Config) *Reporter {
	return &Reporter{cfg: cfg, pending: map[string]mezu.Presence{}, told: map[string]mezu.Presence{}, wake: make(chan struct{}, 1), full: true}
}

// Poke asks for a report soon.
func (p *Reporter) Poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// RequireFull makes the next report a full one.
func (p *Reporter) RequireFull() {
	p.mu.Lock()
	p.full = true
	clear(p.pending)
	p.mu.Unlock()
	p.Poke()
}

// take empties the reporter. Changes that come after it go into the next report, even if
// the full one that is made now already shows them.
func (p *Reporter) take() (full bool, changes []mezu.Presence) {
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
func (p *Reporter) PresenceChanged(change mezu.Presence) {
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
	p.Poke()
}

// Run reports presence and position until ctx ends: at once when something changed, and
// every api.EdgeReportInterval.
func (p *Reporter) Run(ctx context.Context) {
	ticker := time.NewTicker(api.EdgeReportInterval)
	defer ticker.Stop()
	full := time.NewTicker(fullReportInterval)
	defer full.Stop()
	var trouble backoff.Hourly
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-ticker.C:
		case <-full.C:
			p.RequireFull()
		}
		pause := reportSpacing
		if err := p.reportOnce(ctx); err != nil {
			// Whether the control plane got it is not known.
			p.RequireFull()
			pause = reportRetry
			if ctx.Err() == nil && trouble.Due() {
				p.cfg.Log.Warn("reporting to the control plane; trying again", "error", err)
			}
		} else {
			trouble = backoff.Hourly{}
		}
		if backoff.Sleep(ctx, pause) != nil {
			return
		}
	}
}

// reportOnce reports what is to be told, in as many calls as it takes. Without changes it
// makes one call, which shows that the edge lives.
func (p *Reporter) reportOnce(ctx context.Context) error {
	full, changes := p.take()
	if full {
		full, changes = p.allPresence()
	}
	client := p.cfg.Client()
	for {
		n := min(len(changes), api.MaxReportPresence)
		page := changes[:n]
		p.noteSent(page)
		body := api.EdgeReport{Full: full, Presence: page, Applied: p.cfg.Applied(), Version: p.cfg.Version,
			TunnelAddress: p.cfg.TunnelAddress, PublicAddress: p.cfg.PublicAddress}
		if err := client.Do(ctx, api.Call{Operation: api.OpEdgeReport, Body: body}, nil); err != nil {
			return fmt.Errorf("reporting: %w", err)
		}
		p.noteAnswered(full, page)
		if changes, full = changes[n:], false; len(changes) == 0 {
			return nil
		}
	}
}

// allPresence is what a report of everything says. By a full report the control plane
// takes all Warpgates that it doesn't name for disconnected. With more Warpgates than fit
// into one call that would be wrong for those of the later calls until these arrive. So in
// that case full is true only once in the life of the process, to end what an earlier
// process reported; from then on the changes name the Warpgates that are gone.
func (p *Reporter) allPresence() (full bool, changes []mezu.Presence) {
	if p.cfg.Presence != nil {
		changes = p.cfg.Presence()
	}
	if len(changes) <= api.MaxReportPresence || !p.retracted {
		return true, changes
	}
	held := make(map[string]bool, len(changes))
	for _, c := range changes {
		held[c.Warpgate] = true
	}
	for _, c := range p.told {
		if !held[c.Warpgate] {
			c.Connected, c.Since = false, p.cfg.Now()
			changes = append(changes, c)
		}
	}
	return false, changes
}

// noteSent notes what the control plane will believe if a call arrives whose answer is
// lost.
func (p *Reporter) noteSent(page []mezu.Presence) {
	for _, c := range page {
		if c.Connected {
			p.told[c.Warpgate] = c
		}
	}
}

// noteAnswered notes what the control plane believes after a call that was answered.
func (p *Reporter) noteAnswered(full bool, page []mezu.Presence) {
	if full {
		p.retracted = true
		clear(p.told)
		p.noteSent(page)
	}
	for _, c := range page {
		if !c.Connected {
			delete(p.told, c.Warpgate)
		}
	}
}

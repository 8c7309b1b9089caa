package warpgate

import (
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

// Figures are what health and metrics tell of a Warpgate at one moment.
type Figures struct {
	// ID is the Warpgate's, empty before its first registration.
	ID      string
	Version string
	// Ready and Why are as Warpgate.Ready says.
	Ready bool
	Why   string
	// Applied is the position of the configuration that is in force and on disk.
	Applied mezu.Position
	// NotAfter is when the certificate ends, zero if there is none.
	NotAfter time.Time

	Registrations uint64 // tried
	Renewals      uint64 // tried
	Refused       uint64 // signed statements
	Connects      uint64 // tunnels registered at an edge
	Panics        uint64 // requests that ended in one
	// Failures counts the requests that did not end as they should, by every cause.
	Failures map[mezu.Cause]uint64
	// Tunnels says of each edge, by id, whether it holds a tunnel; nil while the
	// Warpgate serves none.
	Tunnels map[string]bool
}

// counters are what Figures counts.
type counters struct {
	registrations, renewals, rejected, connects, panics atomic.Uint64

	failures map[mezu.Cause]*atomic.Uint64 // one of each cause, made once
}

func newCounters() *counters {
	c := &counters{failures: map[mezu.Cause]*atomic.Uint64{}}
	for _, cause := range mezu.Causes() {
		c.failures[cause] = new(atomic.Uint64)
	}
	return c
}

// failed counts a request that did not end as it should.
func (c *counters) failed(cause mezu.Cause) { c.failures[cause].Add(1) }

// Figures are those of now. Call it after Listen.
func (g *Warpgate) Figures() Figures {
	c := g.counters
	f := Figures{ID: g.state.Identity().ID, Version: g.cfg.Version, Applied: g.state.Applied(),
		Registrations: c.registrations.Load(), Renewals: c.renewals.Load(), Refused: c.rejected.Load(), Connects: c.connects.Load(), Panics: c.panics.Load(),
		Failures: make(map[mezu.Cause]uint64, len(c.failures))}
	f.Ready, f.Why = g.Ready()
	_, f.NotAfter = g.state.Lifetime()
	for cause, n := range c.failures {
		f.Failures[cause] = n.Load()
	}
	if s := g.session.Load(); s != nil {
		f.Tunnels = s.tunnels()
	}
	return f
}

// notRegistered is why a Warpgate that has never served is not ready.
const notRegistered = "not registered with the control plane"

// Ready reports whether requests can arrive: a tunnel is registered, a bundle is
// in force, and no drain has begun. If not, why says what is missing.
func (g *Warpgate) Ready() (ready bool, why string) {
	s := g.session.Load()
	switch {
	case s == nil:
		return false, notRegistered
	case s.isClosed():
		return false, "draining"
	case g.state.Table() == nil:
		return false, "no configuration received"
	case s.registered() == 0:
		return false, "no edge holds a tunnel"
	}
	return true, ""
}

// tunnels says of each edge, by id, whether it holds a tunnel.
func (s *session) tunnels() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]bool, len(s.links))
	for id, l := range s.links {
		out[id] = l.registered
	}
	return out
}

// Package shed decides what an edge gives up under attack: what one client may take of it,
// whoever it asks for, what is left undone when memory is short, and how little a refusal
// costs that is one of many.
//
// What lives here: how often an address may come and ask, memory and its levels, and the
// lines of the log about both. What may not: connections and how many of them an address has
// (package admission), requests, and the limits of routes. Package edge alone imports it.
package shed

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/gcra"
)

// What one address may take by default, and a network of IPv6 admission.NetworkFactor times.
const (
	// AddressConnections is how many public connections an address may have. A browser opens
	// six to a host over HTTP/1.1 and one over HTTP/2; a company behind one address has
	// hundreds.
	AddressConnections = 512
	// AddressHandshakes is how many connections of an address are let in a second on average.
	// Each may cost a signature, of which a core computes some thousands a second.
	AddressHandshakes = 50
	// AddressRequests is how many requests of an address are taken a second on average. It is
	// far above what a company asks for, and below what an edge serves.
	AddressRequests = 2000
	// handshakeSeconds and requestSeconds say how much may come at once: what comes in so many
	// seconds on average.
	handshakeSeconds, requestSeconds = 4, 2
	// tunnelFactor is how many times as often an address may come from which a verified tunnel
	// is up: a Warpgate makes a connection for each request that is under way.
	tunnelFactor = 10
	// refusalsPerMinute is how many refusals of a minute are made for who reads them. Whoever
	// gets more than that is no person, and looks for what may be there.
	refusalsPerMinute = 60
)

// Allowances are what one address may take. What is zero is as by default.
type Allowances struct {
	// Connections is for who counts them (package admission).
	Connections int
	// Handshakes and Requests are how many may come a second on average, and the bursts how
	// many at once: if zero, four and two times as many.
	Handshakes, HandshakeBurst, Requests, RequestBurst int
	// Unlimited addresses may do what they like. If nil, those of this machine.
	Unlimited []netip.Prefix
}

// most is the highest limit that can be asked for, as high as none.
const most = 1_000_000

// Validate checks them, by the names that settings give them, and fills in defaults.
func (l *Allowances) Validate() error {
	for _, n := range []struct {
		field    string
		value    *int
		standard func() int
	}{
		{"address_connections", &l.Connections, func() int { return AddressConnections }},
		{"address_handshakes", &l.Handshakes, func() int { return AddressHandshakes }},
		{"address_handshake_burst", &l.HandshakeBurst, func() int { return handshakeSeconds * l.Handshakes }},
		{"address_requests", &l.Requests, func() int { return AddressRequests }},
		{"address_request_burst", &l.RequestBurst, func() int { return requestSeconds * l.Requests }},
	} {
		if *n.value < 0 || *n.value > most {
			return mezu.Invalid(n.field, "is between 1 and %d, or 0 for the default, not %d", most, *n.value)
		}
		if *n.value == 0 {
			*n.value = n.standard()
		}
	}
	if l.Unlimited == nil {
		l.Unlimited = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8), netip.PrefixFrom(netip.IPv6Loopback(), 128)}
	}
	return nil
}

// Config is what a Guard is made of.
type Config struct {
	// Allowances were validated.
	Allowances Allowances
	// Memory says how much is in use that no collection of garbage frees, and how much may
	// be, zero if there is no limit. If nil, the runtime is asked, whose limit is GOMEMLIMIT or
	// what the program has told it.
	Memory func() (used, limit uint64)
	// CloseIdle closes connections on which nothing is under way. It is called again and
	// again while memory is short.
	CloseIdle func()
	// Log is required.
	Log *slog.Logger
}

// Guard decides what is given up. Make it with New, then Run. It is safe for concurrent use.
type Guard struct {
	cfg        Config
	handshakes *rates
	tunneled   *gcra.Keyed[key] // handshakes of addresses with a tunnel
	requests   *rates
	refusals   *rates
	memory     memory
	digest     *Digest[about, netip.Addr]
	counts     [limits]atomic.Uint64

	mu      sync.RWMutex
	tunnels map[key]int // verified ones by address
}

// New makes a Guard.
func New(cfg Config) *Guard {
	l := &cfg.Allowances
	g := &Guard{cfg: cfg, tunnels: map[key]int{},
		handshakes: newRates(gcra.Rate{Events: l.Handshakes, Per: time.Second, Burst: l.HandshakeBurst}),
		tunneled:   gcra.NewKeyed[key](gcra.Rate{Events: tunnelFactor * l.Handshakes, Per: time.Second, Burst: tunnelFactor * l.HandshakeBurst}),
		requests:   newRates(gcra.Rate{Events: l.Requests, Per: time.Second, Burst: l.RequestBurst}),
		refusals:   newRates(gcra.Rate{Events: refusalsPerMinute, Per: time.Minute, Burst: refusalsPerMinute}),
	}
	g.digest = newDigest(cfg.Log)
	g.memory.init(cfg)
	return g
}

// Run watches memory and writes what the log is still to be told, until ctx ends.
func (g *Guard) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			g.digest.Tell(time.Now(), true)
			return
		case now := <-tick.C:
			g.memory.look(now)
			g.digest.Tell(now, false)
		}
	}
}

// Unlimited reports whether an address may do what it likes.
func (g *Guard) Unlimited(from netip.Addr) bool {
	for _, p := range g.cfg.Allowances.Unlimited {
		if p.Contains(from) {
			return true
		}
	}
	return false
}

// Handshake counts a connection that has come, and reports whether it may go on.
func (g *Guard) Handshake(from netip.Addr) bool {
	if g.Unlimited(from) {
		return true
	}
	now, ok := time.Now(), false
	if g.hasTunnel(from) {
		_, ok = g.tunneled.Allow(client(from), now)
	} else {
		_, ok = g.handshakes.allow(from, now)
	}
	if !ok {
		g.limited(LimitHandshakes, from, now)
	}
	return ok
}

// TooMany is told of a connection of an address that has as many as it may.
func (g *Guard) TooMany(from netip.Addr) { g.limited(LimitConnections, from, time.Now()) }

// Tunnel notes that a verified tunnel is up from an address, until gone is called.
func (g *Guard) Tunnel(from netip.Addr) (gone func()) {
	k := client(from)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tunnels[k]++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.tunnels[k]--; g.tunnels[k] == 0 {
			delete(g.tunnels, k)
		}
	})
}

func (g *Guard) hasTunnel(from netip.Addr) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.tunnels[client(from)] > 0
}

// Request counts a request. If its address has had too many, wait is the time after which
// another one would be taken.
func (g *Guard) Request(from netip.Addr, now time.Time) (wait time.Duration, ok bool) {
	if g.Unlimited(from) {
		return 0, true
	}
	if wait, ok = g.requests.allow(from, now); !ok {
		g.limited(LimitRequests, from, now)
	}
	return wait, ok
}

// Refused counts a refusal, and reports whether the address has had so many that no more
// work is to be done for this one.
func (g *Guard) Refused(from netip.Addr, now time.Time) (scans bool) {
	if g.Unlimited(from) {
		return false
	}
	_, ok := g.refusals.allow(from, now)
	if !ok {
		g.limited(LimitRefusals, from, now)
	}
	return !ok
}

// NoConnection reports whether memory is too short for another public connection, and counts
// one from that address if so.
func (g *Guard) NoConnection(from netip.Addr) bool { return g.short(takesNone, from) }

// NoRequest is as NoConnection of requests.
func (g *Guard) NoRequest(from netip.Addr) bool { return g.short(answersNone, from) }

func (g *Guard) short(level int32, from netip.Addr) bool {
	if g.memory.level.Load() < level {
		return false
	}
	g.limited(LimitMemory, from, time.Now())
	return true
}

// TakesNone reports whether memory is too short for new public connections.
func (g *Guard) TakesNone() bool { return g.memory.level.Load() >= takesNone }

// Level is how much is given up for want of memory: 0 nothing, 1 idle connections, 2 new
// connections, 3 requests.
func (g *Guard) Level() int { return int(g.memory.level.Load()) }

func (g *Guard) limited(limit Limit, from netip.Addr, now time.Time) {
	g.counts[limit].Add(1)
	g.digest.Note(about{limit, client(from)}, from, now)
}

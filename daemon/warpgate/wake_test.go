package warpgate_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// network leads to an edge, and can be cut as when a cable is pulled: nothing gets through,
// and nobody is told.
type network struct {
	ln     net.Listener
	target string

	mu      sync.Mutex
	changed *sync.Cond
	cut     bool
	epoch   int // connections of before the last cut stay dead
	over    bool
	conns   []net.Conn
	asked   int // connections that came while it was cut
}

func startNetwork(t *testing.T, target string) *network {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{ln: ln, target: target}
	n.changed = sync.NewCond(&n.mu)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				near.Close()
				continue
			}
			n.mu.Lock()
			n.conns = append(n.conns, near, far)
			epoch := n.epoch
			if n.cut {
				n.asked++
			}
			n.mu.Unlock()
			all.Go(func() { n.carry(epoch, near, far) })
			all.Go(func() { n.carry(epoch, far, near) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		n.mu.Lock()
		n.over = true
		n.mu.Unlock()
		n.drop()
		all.Wait()
	})
	return n
}

func (n *network) carry(epoch int, from, to net.Conn) {
	defer to.Close()
	buf := make([]byte, 16<<10)
	for {
		m, err := from.Read(buf)
		n.mu.Lock()
		for (n.cut || epoch < n.epoch) && !n.over {
			n.changed.Wait()
		}
		n.mu.Unlock()
		if m > 0 {
			if _, err := to.Write(buf[:m]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pull cuts it.
func (n *network) pull() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = true
}

// plug ends the cut, for new connections alone: those of before lead nowhere any more.
func (n *network) plug() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = false
	n.epoch++
	n.changed.Broadcast()
}

// drop closes all connections.
func (n *network) drop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.Close()
	}
	n.conns = nil
	n.changed.Broadcast()
}

// hangs reports whether somebody connects in vain.
func (n *network) hangs() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked > 0
}

// behind starts an edge that can be reached through a network only.
func (w *world) behind() (*edge, *network) {
	w.t.Helper()
	w.dead = 4 * patience // silence alone shows nothing in the time of a test
	e := w.addEdge()
	n := startNetwork(w.t, e.info.TunnelAddress)
	e.info.TunnelAddress = n.ln.Addr().String()
	w.setEdges(w.edges...)
	return e, n
}

// anew waits until the edge holds a newer session of the one Warpgate than before. It does
// something meanwhile.
func (e *edge) anew(t *testing.T, before time.Time, meanwhile func()) {
	t.Helper()
	eventually(t, "a new session", func() bool {
		meanwhile()
		now := e.hub.Presence()
		return len(now) == 1 && now[0].Since.After(before)
	})
}

// since is when the session of the one Warpgate at the edge began.
func (e *edge) since(t *testing.T) (at time.Time) {
	t.Helper()
	eventually(t, "a session", func() bool {
		now := e.hub.Presence()
		if len(now) == 1 {
			at = now[0].Since
		}
		return len(now) == 1
	})
	return at
}

// The machine wakes up in another network: its connections are dead, and nobody says so.
func TestWake_FindsDeadLinks(t *testing.T) {
	w := newWorld(t, 0)
	e, n := w.behind()
	g := w.start(w.config(t.TempDir()))
	g.ready()
	e.ping(t, w.env)
	before := e.since(t)
	n.pull()
	n.plug()
	g.Wake()
	e.anew(t, before, func() {})
	g.link(e, mezu.LinkConnected)
	e.ping(t, w.env)
}

// It wakes up before its network does: what it tried meanwhile hangs. It is back when it is
// told that the network is.
func TestWake_TriesThatHangGiveWay(t *testing.T) {
	w := newWorld(t, 0)
	e, n := w.behind()
	g := w.start(w.config(t.TempDir()))
	g.ready()
	before := e.since(t)
	n.pull()
	g.Wake()
	eventually(t, "a try that hangs", n.hangs)
	n.plug()
	e.anew(t, before, g.Wake)
	e.ping(t, w.env)
}

// A cut that ends in closed connections needs no wake.
func TestWake_DroppedLinksComeBackByThemselves(t *testing.T) {
	w := newWorld(t, 0)
	e, n := w.behind()
	g := w.start(w.config(t.TempDir()))
	g.ready()
	before := e.since(t)
	n.pull()
	n.plug()
	n.drop()
	e.anew(t, before, func() {})
	e.ping(t, w.env)
}

// Whatever waits for its next try is tried at once.
func TestWake_EndsAllPauses(t *testing.T) {
	w := newWorld(t, 2)
	later := func(g *gate) { g.TestOnlyRetryLater() }
	bad := w.edges[1]
	bad.mistaken.Store(true)
	g := w.start(w.config(t.TempDir()), later)
	g.ready()
	g.link(bad, mezu.LinkRefused)
	w.stopAPI()
	g.clock.Advance(mezu.RenewAge + 3*time.Hour)
	g.Wake() // the clock has jumped
	g.event("a renewal in vain", isError(mezu.CodeUnavailable, "unreachable"))
	g.link(bad, mezu.LinkRefused)

	bad.mistaken.Store(false)
	w.startAPI(w.addr)
	g.Wake()
	eventually(t, "a renewal", func() bool { _, n := w.counts(); return n == 1 })
	g.link(bad, mezu.LinkConnected)
	for range 3 { // one that has succeeded is not made again
		g.Wake()
	}
	bad.ping(t, w.env)
	if _, n := w.counts(); n != 1 {
		t.Errorf("%d renewals", n)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	g.Wake() // and nothing comes of it

	// So does a first registration.
	w.stopAPI()
	cfg := w.config(t.TempDir())
	cfg.RetryWithin = time.Hour
	g = w.start(cfg, later)
	g.event("a registration in vain", isError(mezu.CodeUnavailable, "unreachable"))
	w.startAPI(w.addr)
	eventually(t, "a registration", func() bool { g.Wake(); ok, _ := g.Ready(); return ok })
}

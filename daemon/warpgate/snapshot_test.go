package warpgate_test

import (
	"net"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/warpgate"
)

// watched asks for snapshots all the time until the end of the test.
func watched(t *testing.T, g *warpgate.Warpgate) {
	var asking sync.WaitGroup
	stop := make(chan struct{})
	asking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				g.Snapshot()
				runtime.Gosched()
			}
		}
	})
	t.Cleanup(func() { close(stop); asking.Wait() })
}

// link waits until the link to an edge is in a state.
func (g *gate) link(e *edge, state mezu.LinkState) (out mezu.Link) {
	g.t.Helper()
	eventually(g.t, "link "+string(state), func() bool {
		for _, l := range g.Snapshot().Links {
			if l.Edge == e.info.ID && l.State == state {
				out = l
				return true
			}
		}
		return false
	})
	return out
}

func TestSnapshot(t *testing.T) {
	w := newWorld(t, 2)
	cfg := w.config(t.TempDir())
	g := watch(t, &cfg)
	made, err := warpgate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g.is(made)
	watched(t, made)
	if s := made.Snapshot(); s.Ready || s.Why == "" || s.ID != "" || len(s.Links) != 0 {
		t.Errorf("before Listen: %+v", s)
	}
	if err := made.Listen(); err != nil {
		t.Fatal(err)
	}
	if s := made.Snapshot(); s.Ready || s.Why == "" || s.ID != "" || !s.NotAfter.IsZero() {
		t.Errorf("before Run: %+v", s)
	}

	g.run(made.Run)
	g.ready()
	for _, e := range w.edges {
		l := g.link(e, mezu.LinkConnected)
		e.ping(t, w.env)
		l = g.link(e, mezu.LinkConnected)
		if l.Name != e.info.Name || l.Address != e.info.TunnelAddress || l.Since.IsZero() || l.Connections == 0 || l.Error != "" {
			t.Errorf("link %+v", l)
		}
		if told := runtime.GOOS == "linux" || runtime.GOOS == "windows"; told && (l.RoundTripMS <= 0 || l.RoundTripMS > 10_000) {
			t.Errorf("round trip of %v ms", l.RoundTripMS)
		}
	}
	s := g.Snapshot()
	if !s.Ready || s.ID != g.ID() || s.URL != "https://shop-acme.localhost:8443" || s.Organization != "acme" || s.Project != "shop" || s.Environment != "production" ||
		s.Applied != positionOf(t, w.bundle) || !s.NotAfter.After(s.Issued) || !s.Away.Since.IsZero() || len(s.Links) != 2 || s.Links[0].Name > s.Links[1].Name {
		t.Errorf("serving: %+v", s)
	}

	// An edge goes away, and later refuses.
	e := w.edges[1]
	before := g.link(e, mezu.LinkConnected)
	addr := e.ln.Addr().String()
	e.kill()
	var l mezu.Link
	eventually(t, "the reason", func() bool { l = g.link(e, mezu.LinkDown); return strings.Contains(l.Error, "refused") })
	if !l.Since.After(before.Since) || l.Connections != 0 || l.RoundTripMS != 0 || !g.Snapshot().Ready {
		t.Errorf("down: %+v", l)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	again := w.startEdge(ln, e.info.ID)
	again.mistaken.Store(true)
	l = g.link(again, mezu.LinkRefused)
	if l.Error == "" || l.Connections != 0 {
		t.Errorf("refused: %+v", l)
	}
	// It is asked again and again, and that shows nowhere.
	for tries := strings.Count(g.log.String(), "refused for good"); strings.Count(g.log.String(), "refused for good") < tries+5; {
		if now := g.Snapshot().Links; !slices.Contains(now, l) {
			t.Fatalf("links %+v, want still %+v", now, l)
		}
	}
	again.mistaken.Store(false)
	g.link(again, mezu.LinkConnected)

	// The control plane goes away. That shows when something is asked of it.
	w.stopAPI()
	g.clock.Advance(mezu.RenewAge + 3*time.Hour)
	eventually(t, "the control plane to be away", func() bool { return !g.Snapshot().Away.Since.IsZero() })
	away := g.Snapshot().Away
	if away.Err == nil || !strings.Contains(away.Err.Error(), w.addr) || !g.Snapshot().Ready {
		t.Errorf("away: %+v", away)
	}
	w.startAPI(w.addr)
	eventually(t, "an answer", func() bool { return g.Snapshot().Away.Since.IsZero() })

	// A drain with a request in flight.
	c := w.edges[0].checkout(t, w.env)
	c.Write([]byte("slow\n"))
	g.cancel()
	g.link(w.edges[0], mezu.LinkDraining)
	if s := g.Snapshot(); s.Ready || s.Why != "draining" {
		t.Errorf("draining: %+v", s)
	}
	exchange(t, c, "late\n")
	c.Release()
	if err := g.wait(); err != nil {
		t.Fatal(err)
	}
	if s := g.Snapshot(); s.Ready || s.ID == "" || s.Links != nil {
		t.Errorf("after the end: %+v", s)
	}
}

// Through a proxy it is the round-trip time of the connection to the proxy.
func TestSnapshot_ThroughAProxy(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		t.Skip("the round-trip time on loopback is less than what this system tells")
	}
	w := newWorld(t, 1)
	p := startProxy(t, "", nil)
	cfg := w.config(t.TempDir())
	cfg.Proxy = func(*url.URL) (*url.URL, error) { return &url.URL{Scheme: "http", Host: p.ln.Addr().String()}, nil }
	g := w.start(cfg)
	g.ready()
	if l := g.link(w.edges[0], mezu.LinkConnected); l.RoundTripMS <= 0 {
		t.Errorf("link %+v", l)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
}

// Drain says how long requests in flight get, whatever the configuration says.
func TestDrain_WithATimeOfItsOwn(t *testing.T) {
	w := newWorld(t, 1)
	cfg := w.config(t.TempDir())
	cfg.DrainTimeout = time.Hour
	for name, c := range map[string]struct {
		before func(*gate)
		within time.Duration
	}{
		"at once":                {func(*gate) {}, 20 * time.Millisecond},
		"of one that is begun":   {func(g *gate) { g.cancel() }, 20 * time.Millisecond},
		"after one with longer":  {func(g *gate) { g.Drain(time.Hour) }, 0},
		"of nothing in progress": {nil, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			g := w.start(cfg)
			g.ready()
			if c.before != nil {
				busy := w.edges[0].checkout(t, w.env)
				defer busy.Discard()
				busy.Write([]byte("slow\n"))
				c.before(g)
			}
			g.Drain(c.within)
			if err := g.wait(); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("longer than the configuration", func(t *testing.T) {
		cfg.DrainTimeout = time.Millisecond
		g := w.start(cfg)
		g.ready()
		c := w.edges[0].checkout(t, w.env)
		c.Write([]byte("slow\n"))
		g.Drain(time.Hour)
		eventually(t, "no new requests", func() bool { return w.edges[0].hub.PickBut(w.env, nil) == nil })
		if got := exchange(t, c, "late\n"); got != "late\n" {
			t.Fatalf("answer %q", got)
		}
		c.Release()
		if err := g.wait(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("before Run", func(t *testing.T) {
		made, _ := w.listen(w.config(t.TempDir()))
		made.Drain(time.Hour)
		if err := made.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

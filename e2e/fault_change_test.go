package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// changeBound is five times what is promised for a change to be in force.
const changeBound = 5 * time.Second

// inForce waits until a path gets this answer through every edge, and checks how
// long that took.
func (w *world) inForce(since time.Time, path string, want mezu.Code) {
	w.t.Helper()
	for _, e := range w.edges {
		client := w.http(e)
		eventually(w.t, "the change at "+e.name, func() error { return e.answers(client, path, want) })
	}
	w.within("the answer to "+path, since, changeBound)
}

// within checks how long something took.
func (w *world) within(what string, since time.Time, bound time.Duration) {
	w.t.Helper()
	took := time.Since(since)
	w.t.Logf("%s: %v", what, took.Round(time.Millisecond))
	if took > slower(bound) {
		w.t.Errorf("%s came after %v", what, took)
	}
}

// TestChangesCutNothing changes the routes and switches the environment off and on
// while a response is awaited and a stream flows: both are in force at every edge
// and Warpgate soon, for new requests only.
func TestChangesCutNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, open)
	g := w.addStationGates(1)[0]
	held := []*heldRequests{w.hold(w.edges[0], "GET", 1), w.hold(w.edges[1], "POST", 1)}
	g.station.holds(t, 2)
	streams := []*eventStream{w.stream(w.http(w.edges[0])), w.stream(w.http2(w.edges[1]))}
	goesOn := func() {
		t.Helper()
		for _, s := range streams {
			s.goesOn(t)
		}
		g.station.holds(t, 2)
	}
	goesOn()

	began := time.Now()
	state := w.setRoutes(mezu.Route{Prefix: "/other/"})
	w.inForce(began, "/", mezu.CodeNoRoute)
	w.applied(state, len(w.edges)+1)
	w.within("acknowledgement by edges and Warpgate", began, changeBound)
	w.inForce(began, "/other/x", "")
	goesOn()

	for range 2 {
		for _, enabled := range []bool{false, true} {
			began, want := time.Now(), mezu.CodeEnvironmentDisabled
			if enabled {
				want = ""
			}
			invoke[mezu.Environment](w, w.client, api.OpUpdateEnvironment, map[string]any{"enabled": enabled}, w.path()...)
			w.inForce(began, "/other/x", want)
			goesOn()
		}
	}

	g.station.release()
	for _, s := range streams {
		s.ends(t)
	}
	for _, h := range held {
		h.wait()
		if h.count("") != 1 {
			t.Errorf("a held request was not answered:%v", h)
		}
	}
}

// TestK2DeletedKeyCutsItsWarpgates deletes a Warpgate, then the service account
// that let the other one in: each is cut with what is under way on it, its
// process ends, and it can't come back.
func TestK2DeletedKeyCutsItsWarpgates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, open)
	gates := w.addStationGates(2)
	client := w.http(w.edges[0])
	for _, g := range gates { // until then the other one is preferred
		eventually(t, "an answer of "+g.name, func() error { return w.edges[0].servedBy(client, g.station) })
	}
	held := w.hold(w.edges[0], "POST", 4)
	eventually(t, "two held requests on each", func() error {
		for _, g := range gates {
			if n := g.station.held.Load(); n != 2 {
				return fmt.Errorf("%s has %d", g.name, n)
			}
		}
		return nil
	})
	stream := w.stream(w.http2(w.edges[1]))
	stream.goesOn(t)
	carrier, other := gates[0], gates[1]
	if stream.resp.Header.Get(stationHeader) != carrier.station.name {
		carrier, other = other, carrier
	}

	cut := func(g *stationGate, began time.Time) {
		t.Helper()
		if code := g.exit(); code != 3 {
			t.Errorf("%s ended with %d, want 3 (not allowed)", g.name, code)
		}
		w.within(g.name+" to end", began, changeBound)
	}
	began := time.Now()
	id, err := warpgateID(other.gate)
	if err != nil {
		t.Fatal(err)
	}
	invoke[struct{}](w, w.client, api.OpDeleteWarpgate, nil, w.path(id)...)
	eventually(t, "what it carried to be answered", func() error {
		if n := held.count(mezu.CodeWorkloadReset); n != 2 {
			return fmt.Errorf("%d were:%v", n, held)
		}
		return nil
	})
	cut(other, began)
	w.tunnels(1)
	stream.goesOn(t)
	if err := w.edges[0].servedBy(client, carrier.station); err != nil {
		t.Error(err)
	}

	began = time.Now()
	invoke[struct{}](w, w.client, api.OpDeleteServiceAccount, nil, "acme", "shop", "gate")
	stream.read.Wait()
	w.within("the end of its stream", began, changeBound)
	if stream.whole {
		t.Error("the stream ended as if nothing had happened")
	}
	w.inForce(began, "/", mezu.CodeNoWarpgate)
	held.wait()
	if n := held.count(mezu.CodeWorkloadReset); n != 4 {
		t.Errorf("%d held requests were answered as lost:%v", n, held)
	}
	cut(carrier, began)

	for _, state := range []string{carrier.name, "fresh"} {
		again := w.startGate(state, carrier.station.addr(), "--state", filepath.Join(w.dir, state))
		if code := again.exit(); code != 3 {
			t.Errorf("with the state %q it ended with %d, want 3 (not allowed)", state, code)
		}
	}
}

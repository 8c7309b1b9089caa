package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// onlyBy waits until an edge sends nothing to anyone but one Warpgate, and shows that
// it stays so.
func (w *world) onlyBy(e *edgeNode, want *station) {
	w.t.Helper()
	client := w.http(e)
	eventually(w.t, "requests through "+e.name+" to come from "+want.name, func() error {
		for range 20 { // both would take turns
			if err := e.servedBy(client, want); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestDrainWarpgateByOperation: drained through the API, a Warpgate gets nothing new
// from any edge within a second and finishes what it has; neither its own death nor an
// edge's, with the control plane away, brings it back; undrained, it serves again.
func TestDrainWarpgateByOperation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, open)
	first := w.addStationGates(1)[0]
	all := invoke[api.List[mezu.Warpgate]](w, w.client, api.OpListWarpgates, nil, w.path()...)
	if len(all.Items) != 1 {
		t.Fatalf("Warpgates: %+v", all.Items)
	}
	id := all.Items[0].ID
	held, stream := w.hold(w.edges[0], "POST", 2), w.stream(w.http2(w.edges[1]))
	first.station.holds(t, 2)
	s := newStation(t, "station of gate-2")
	w.addGate("gate-2", s.addr())
	w.tunnels(2)

	began := time.Now()
	if got := invoke[mezu.Warpgate](w, w.client, api.OpDrainWarpgate, nil, w.path(id)...); !got.Draining || got.Status != mezu.WarpgateConnected {
		t.Errorf("drained: %+v", got)
	}
	for _, e := range w.edges {
		w.onlyBy(e, s)
	}
	w.within("the drain", began, changeBound)
	first.station.holds(t, 2)
	stream.goesOn(t)
	first.station.release()
	if held.wait(); held.count("") != 2 {
		t.Errorf("requests under way were not answered:%v", held)
	}
	stream.ends(t)

	first.down(true)
	first.run("gate-1")
	healthy(t, first.health)
	w.tunnels(2)
	for _, e := range w.edges {
		w.onlyBy(e, s)
	}
	w.control.down(true)
	w.edges[0].down(true)
	w.edges[0].run()
	w.tunnels(2)
	w.onlyBy(w.edges[0], s)
	w.startControl()

	other := ""
	for _, g := range invoke[api.List[mezu.Warpgate]](w, w.client, api.OpListWarpgates, nil, w.path()...).Items {
		if g.Draining != (g.ID == id) {
			t.Errorf("shown as %+v", g)
		}
		if g.ID != id {
			other = g.ID
		}
	}
	invoke[mezu.Warpgate](w, w.client, api.OpDrainWarpgate, nil, w.path(other)...)
	for _, e := range w.edges {
		client := w.http(e)
		eventually(t, "nobody to be left at "+e.name, func() error { return e.answers(client, "/", mezu.CodeNoWarpgate) })
	}
	began = time.Now()
	if got := invoke[mezu.Warpgate](w, w.client, api.OpUndrainWarpgate, nil, w.path(id)...); got.Draining {
		t.Error("still draining")
	}
	for _, e := range w.edges {
		w.onlyBy(e, first.station)
	}
	w.within("the end of the drain", began, changeBound)
	if resp := w.setRoutes(open); len(resp.Routes) != 1 {
		t.Error(fmt.Sprint(resp.Routes))
	}
	w.onlyBy(w.edges[1], first.station) // another change of the bundle keeps the list
}

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// inStep waits until every edge follows the control plane.
func (w *world) inStep() {
	w.t.Helper()
	for _, e := range w.edges {
		metricIs(w.t, e.admin, "mezu_edge_control_up", 1)
	}
}

// applied waits until so many edges and Warpgates say that they run a state of the
// routes.
func (w *world) applied(state api.RoutesState, runners int) {
	w.t.Helper()
	eventually(w.t, "the change to be acknowledged", func() error {
		now := invoke[api.RoutesState](w, w.client, api.OpListRoutes, nil, w.path()...)
		n := 0
		for _, a := range now.Applied {
			if a.Position.Compare(state.Position) >= 0 {
				n++
			}
		}
		if n != runners {
			return fmt.Errorf("%d of %d run %v: %+v", n, runners, state.Position, now.Applied)
		}
		return nil
	})
}

// changeArrives makes a change of the routes and waits until it is in force
// everywhere.
func (w *world) changeArrives() {
	w.t.Helper()
	gates, err := metric(w.edges[0].admin, "mezu_edge_warpgates")
	if err != nil {
		w.t.Fatal(err)
	}
	state := w.setRoutes(open, mezu.Route{Exact: "/changed", Methods: []string{"POST"}})
	for _, e := range w.edges {
		client := w.http(e)
		eventually(w.t, "the change at "+e.name, func() error { return e.answers(client, "/changed", mezu.CodeMethodNotAllowed) })
	}
	w.applied(state, len(w.edges)+int(gates))
}

// TestStaticStability restarts every edge and every Warpgate while there is no
// control plane.
func TestStaticStability(t *testing.T) {
	t.Parallel()
	t.Run("SIGTERM", func(t *testing.T) { staticStability(t, false) })
	t.Run("kill", func(t *testing.T) { staticStability(t, true) })
}

func staticStability(t *testing.T, hard bool) {
	t.Parallel()
	w := newWorld(t, 2, open)
	gates := w.addStationGates(2)
	l := startLoad(w)
	l.flows("the start", time.Now())

	over := l.fault("the control plane", nothing)
	w.control.down(hard)
	over(time.Now())
	for _, e := range w.edges {
		over := l.fault("restart of "+e.name, broken(e, hard))
		over(e.restart(hard).Add(slower(edgeRecovers)))
		healthy(t, e.admin)
	}
	for _, g := range gates {
		allows := nothing
		if hard {
			allows = lostWith(g.station)
		}
		over := l.fault("restart of "+g.name, allows)
		over(g.restart(hard))
		w.tunnels(len(gates))
	}
	over = l.fault("the return of the control plane", nothing)
	w.startControl()
	over(time.Now())
	w.changeArrives()
	l.judge()
}

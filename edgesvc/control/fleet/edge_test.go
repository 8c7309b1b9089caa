package fleet_test

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// Operators see which edges are up, and when the others were. The record of an edge has none of it.
func TestEdges_UpOrNot(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	e, _ := in.Enrol(op, "edge-1")
	show := func() mezu.Edge {
		t.Helper()
		var one mezu.Edge
		// Silence may begin between the two.
		controltest.Eventually(t, "the edge to be listed as it is shown", func() bool {
			one = controltest.Call[mezu.Edge](t, op, api.OpGetEdge, nil, "edge-1")
			all := controltest.Call[api.List[mezu.Edge]](t, op, api.OpListEdges, nil).Items
			return len(all) == 1 && all[0].Status == one.Status && all[0].ID == one.ID
		})
		if by := controltest.Call[mezu.Edge](t, op, api.OpGetEdge, nil, one.ID); by.Name != "edge-1" {
			t.Errorf("by its id: %+v", by)
		}
		return one
	}
	if is := show(); is.Status != mezu.EdgeDown || !is.LastSeenAt.IsZero() {
		t.Errorf("before its first report: %+v", is)
	}
	controltest.Call[any](t, in.Client("", e.Cert), api.OpEdgeReport, api.EdgeReport{Full: true, Version: "9.9.9"})
	up := show()
	if up.Status != mezu.EdgeUp || up.LastSeenAt.IsZero() || up.Version != "9.9.9" {
		t.Errorf("it reports: %+v", up)
	}
	in.Clock.Advance(api.EdgeSilence + time.Second)
	var down mezu.Edge
	controltest.Eventually(t, "the edge is silent", func() bool {
		down = show()
		return down.Status == mezu.EdgeDown && !down.LastSeenAt.IsZero()
	})
	if off := down.LastSeenAt.Sub(up.LastSeenAt); off < -2*time.Second || off > 10*time.Second || down.Revision != up.Revision {
		t.Errorf("last seen at %v, up at %v", down.LastSeenAt, up.LastSeenAt)
	}
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetEdge, nil, "edge-2")
	ana := in.Client(in.OtherOperator(op), nil)
	controltest.Call[mezu.Edge](t, ana, api.OpGetEdge, nil, "edge-1")
}

package fleet_test

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// Issue 7, row 26: a Warpgate that is gone was last seen when it was last there, not when
// it had connected; no heartbeat is written down for it.
func TestRow26LastSeen(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	e, _ := in.Enrol(op, "edge-1")
	edge := in.Client("", e.Cert)
	connected := in.Clock.Now().Add(-3 * time.Hour)
	report := func(full bool, presence ...mezu.Presence) {
		t.Helper()
		controltest.Call[any](t, edge, api.OpEdgeReport, api.EdgeReport{Full: full, Presence: presence})
	}
	show := func() mezu.Warpgate {
		return controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.Path(w.ID)...)
	}
	there := mezu.Presence{Warpgate: w.ID, Environment: x.Environment.ID, Connected: true, Since: connected}
	report(true, there)

	// The edge falls silent.
	heard := in.Clock.Now()
	in.Clock.Advance(api.EdgeSilence + time.Second)
	var gone mezu.Warpgate
	controltest.Eventually(t, "the edge is silent", func() bool {
		gone = show()
		return gone.Status == mezu.WarpgateUnknown && gone.LastSeenAt.After(connected.Add(time.Hour))
	})
	if off := gone.LastSeenAt.Sub(heard); off < -2*time.Second || off > 10*time.Second {
		t.Errorf("the edge was last heard of at %v; the Warpgate was last seen at %v", heard, gone.LastSeenAt)
	}

	// An hour later it is back without the Warpgate, which was not there in between.
	in.Clock.Advance(time.Hour)
	if again := show(); !again.LastSeenAt.Equal(gone.LastSeenAt) {
		t.Errorf("last seen at %v, then at %v", gone.LastSeenAt, again.LastSeenAt)
	}
	report(true)
	if back := show(); back.Status != mezu.WarpgateDisconnected || !back.LastSeenAt.Equal(gone.LastSeenAt) {
		t.Errorf("the edge is back: %s, last seen at %v; before at %v", back.Status, back.LastSeenAt, gone.LastSeenAt)
	}

	// It comes again and ends, as edges of earlier versions tell it, and as today's do.
	there.Since = in.Clock.Now()
	report(false, there)
	in.Clock.Advance(api.EdgeSilence / 2)
	there.Connected = false
	report(false, there)
	if late := show(); in.Clock.Now().Sub(late.LastSeenAt) > 2*time.Second {
		t.Errorf("ended at %v, last seen at %v", in.Clock.Now(), late.LastSeenAt)
	}
	there.Connected, there.Since = true, in.Clock.Now()
	report(false, there)
	in.Clock.Advance(api.EdgeSilence / 2)
	there.Connected, there.Since = false, in.Clock.Now().Add(-2*time.Second)
	report(false, there)
	if late := show(); !late.LastSeenAt.Equal(there.Since) && late.LastSeenAt.Sub(there.Since).Abs() > time.Millisecond {
		t.Errorf("ended at %v, last seen at %v", there.Since, late.LastSeenAt)
	}
}

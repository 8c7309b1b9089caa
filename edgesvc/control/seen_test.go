package control_test

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Issue 7, row 26: a Warpgate that is gone was last seen when it was last there, not when
// it had connected; no heartbeat is written down for it.
func TestRow26LastSeen(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	w, _ := in.register(key, "")
	e, _ := in.enrol(op, "edge-1")
	edge := in.client("", e.cert)
	connected := in.clock.now().Add(-3 * time.Hour)
	report := func(full bool, presence ...mezu.Presence) {
		t.Helper()
		call[any](t, edge, api.OpEdgeReport, api.EdgeReport{Full: full, Presence: presence})
	}
	show := func() mezu.Warpgate {
		return call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.path(w.id)...)
	}
	there := mezu.Presence{Warpgate: w.id, Environment: x.environment.ID, Connected: true, Since: connected}
	report(true, there)

	// The edge falls silent.
	heard := in.clock.now()
	in.clock.advance(api.EdgeSilence + time.Second)
	var gone mezu.Warpgate
	eventually(t, "the edge is silent", func() bool {
		gone = show()
		return gone.Status == mezu.WarpgateUnknown && gone.LastSeenAt.After(connected.Add(time.Hour))
	})
	if off := gone.LastSeenAt.Sub(heard); off < -2*time.Second || off > 10*time.Second {
		t.Errorf("the edge was last heard of at %v; the Warpgate was last seen at %v", heard, gone.LastSeenAt)
	}

	// An hour later it is back without the Warpgate, which was not there in between.
	in.clock.advance(time.Hour)
	if again := show(); !again.LastSeenAt.Equal(gone.LastSeenAt) {
		t.Errorf("last seen at %v, then at %v", gone.LastSeenAt, again.LastSeenAt)
	}
	report(true)
	if back := show(); back.Status != mezu.WarpgateDisconnected || !back.LastSeenAt.Equal(gone.LastSeenAt) {
		t.Errorf("the edge is back: %s, last seen at %v; before at %v", back.Status, back.LastSeenAt, gone.LastSeenAt)
	}

	// It comes again and ends, as edges of earlier versions tell it, and as today's do.
	there.Since = in.clock.now()
	report(false, there)
	in.clock.advance(api.EdgeSilence / 2)
	there.Connected = false
	report(false, there)
	if late := show(); in.clock.now().Sub(late.LastSeenAt) > 2*time.Second {
		t.Errorf("ended at %v, last seen at %v", in.clock.now(), late.LastSeenAt)
	}
	there.Connected, there.Since = true, in.clock.now()
	report(false, there)
	in.clock.advance(api.EdgeSilence / 2)
	there.Connected, there.Since = false, in.clock.now().Add(-2*time.Second)
	report(false, there)
	if late := show(); !late.LastSeenAt.Equal(there.Since) && late.LastSeenAt.Sub(there.Since).Abs() > time.Millisecond {
		t.Errorf("ended at %v, last seen at %v", there.Since, late.LastSeenAt)
	}
}

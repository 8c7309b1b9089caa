package routes

import (
	"slices"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// TestApplied: who doesn't run the routes yet is named, with how far it is behind.
func TestApplied(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	at := func(revision uint64) mezu.Position { return mezu.Position{Epoch: 1795888724, Revision: revision} }
	const edge, gate, other = "edg_06h26kh6kmnrhmzmsjng20d7zg", "wgt_06h26kh6kmnrhmzmsjng20d7zg", "wgt_06h26kh6kmnrhmzmsjng20d7zh"
	got := applied(api.RoutesState{Position: at(17), Applied: []api.Applied{
		{ID: edge, Name: "fra-1", Position: at(17)},
		{ID: edge, Name: "ams-1"},
		{ID: gate, Name: "web-1", Position: at(12), Behind: 2, Since: now.Add(-3 * time.Second)},
		{ID: gate, Name: "web-2", Position: at(12), Behind: 1, Since: now.Add(-3 * time.Minute)},
		{ID: other, Name: "web-2", Position: at(17)},
		{ID: gate, Position: at(12)}, // of a control plane and a Warpgate before there were names
	}}, now)
	if want := []string{
		"edge fra-1 runs them", "edge ams-1 runs nothing yet", "Warpgate web-1 is 2 changes behind (since 3 s)",
		"Warpgate web-2 (" + gate + ") is 1 change behind (since 3 min)", "Warpgate web-2 (" + other + ") runs them", "Warpgate " + gate + " is behind",
	}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// beforeVariable names a folder with the programs of an earlier build, as make before
// makes it.
const beforeVariable = "MEZU_BEFORE"

// TestUpgrade takes an installation from an earlier build to this one under load, a
// program at a time, beginning at either end. In between both builds speak with one
// another: over tunnels, streams, reports and the API. Each program opens what the one
// before it left on the disk. No request fails but those on an edge that is restarted.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	before := os.Getenv(beforeVariable)
	if before == "" {
		t.Skip("no earlier build is given: make before builds one, and MEZU_BEFORE names its folder")
	}
	for name, order := range map[string][]func(*upgrade){
		"from the control plane to the Warpgates": {(*upgrade).control, (*upgrade).edges, (*upgrade).gates},
		"from the Warpgates to the control plane": {(*upgrade).gates, (*upgrade).edges, (*upgrade).control},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{t: t, dir: t.TempDir(), api: freeAddr(t), plane: before, faulty: before}
			w.startControl()
			w.bootstrap()
			w.addEdge("edge-1")
			w.addEdge("edge-2")
			w.makeProject([]mezu.Route{open})
			u := &upgrade{world: w, stations: w.addStationGates(2)}
			was := u.shown()
			w.faulty = "" // for whoever starts from now on
			u.load = startLoad(w)
			u.load.flows("the start", time.Now())
			for _, step := range order {
				step(u)
			}
			u.load.judge()
			for op, now := range u.shown() {
				if now != was[op] {
					t.Errorf("%s answers %s, was %s", op, now, was[op])
				}
			}
		})
	}
}

// upgrade is an installation on its way to another build.
type upgrade struct {
	*world
	stations []*stationGate
	load     *faultLoad
	changes  int
}

func (u *upgrade) control() {
	over := u.load.fault("another build of the control plane", nothing)
	u.world.control.down(false)
	u.plane = ""
	u.startControl()
	over(time.Now())
	u.goesOn()
}

func (u *upgrade) edges() {
	for _, e := range u.world.edges {
		over := u.load.fault("another build of "+e.name, broken(e, false))
		over(e.restart(false).Add(slower(edgeRecovers)))
		healthy(u.t, e.admin)
		u.goesOn()
	}
}

func (u *upgrade) gates() {
	for _, g := range u.stations {
		over := u.load.fault("another build of "+g.name, nothing)
		g.restart(false)
		over(time.Now())
		u.goesOn()
	}
}

// goesOn makes a change and waits until everybody runs it.
func (u *upgrade) goesOn() {
	u.t.Helper()
	u.inStep()
	u.tunnels(len(u.stations))
	u.changes++
	path := fmt.Sprintf("/change-%d", u.changes)
	state := u.setRoutes(open, mezu.Route{Exact: path, Methods: []string{"POST"}})
	for _, e := range u.world.edges {
		client := u.http(e)
		eventually(u.t, "the change at "+e.name, func() error { return e.answers(client, path, mezu.CodeMethodNotAllowed) })
	}
	u.applied(state, len(u.world.edges)+len(u.stations))
}

// shown is what no program changes by itself.
func (u *upgrade) shown() map[string]string {
	u.t.Helper()
	out := map[string]string{}
	for op, params := range map[api.Operation][]string{
		api.OpListOrganizations: nil, api.OpListOperators: nil, api.OpListTokens: nil, api.OpListMembers: {"acme"}, api.OpListProjects: {"acme"},
		api.OpListEnvironments: {"acme", "shop"},
	} {
		out[op.ID] = string(invoke[json.RawMessage](u.world, u.client, op, nil, params...))
	}
	return out
}

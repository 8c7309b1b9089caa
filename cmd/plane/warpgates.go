package plane

import (
	"cmp"
	"context"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/status"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/warpgates"
)

// Warpgates are those of an environment. Running connects to the daemon of this machine.
type Warpgates struct {
	*Plane
	Running status.Running
}

// Follow gives all Warpgates whenever one has changed.
func (p Warpgates) Follow(ctx context.Context, scope screen.Scope, see func(warpgates.State)) error {
	c, params, err := p.environment(scope)
	if err != nil {
		return err
	}
	err = watch(ctx, c, api.OpWatchWarpgates, func(w mezu.Warpgate) string { return w.ID }, func(all []mezu.Warpgate) {
		state := warpgates.State{Warpgates: all}
		// Who may see Warpgates need not see routes and edges; then these columns say less.
		if routes, err := api.Invoke[api.RoutesState](ctx, c, api.OpListRoutes, nil, params...); err == nil {
			state.Position = routes.Position
			state.Lags = map[string]mezu.Lag{}
			for _, a := range routes.Applied {
				if a.Position.Compare(routes.Position) < 0 {
					state.Lags[a.ID] = a.Lag()
				}
				if !strings.HasPrefix(a.ID, mezu.PrefixWarpgate) {
					state.Edges++
				}
			}
		}
		see(state)
	}, params...)
	return p.explain(ctx, scope, mezu.PermWarpgatesRead, err)
}

// Drain stops sending new requests to a Warpgate, or sends them again.
func (p Warpgates) Drain(ctx context.Context, scope screen.Scope, id string, drains bool) error {
	c, params, err := p.environment(scope)
	if err != nil {
		return err
	}
	op := api.OpDrainWarpgate
	if !drains {
		op = api.OpUndrainWarpgate
	}
	_, err = api.Invoke[mezu.Warpgate](ctx, c, op, nil, append(params, id)...)
	return p.explain(ctx, scope, mezu.PermWarpgatesWrite, err)
}

// Delete removes a Warpgate.
func (p Warpgates) Delete(ctx context.Context, scope screen.Scope, id string) error {
	c, params, err := p.environment(scope)
	if err != nil {
		return err
	}
	return p.explain(ctx, scope, mezu.PermWarpgatesWrite, c.Do(ctx, api.Call{Operation: api.OpDeleteWarpgate, Params: append(params, id)}, nil))
}

// Probe asks how far a request comes.
func (p Warpgates) Probe(ctx context.Context, scope screen.Scope) (warpgates.Report, error) {
	r, err := status.Look(ctx, p.Invocation(scope), p.Running)
	if err != nil {
		return warpgates.Report{}, err
	}
	out := warpgates.Report{Detail: r.Detail, Hint: r.Hint}
	for _, h := range r.Hops {
		hop := warpgates.Hop{Name: h.Name, MS: h.MS, Note: h.Detail}
		switch h.Hop {
		case "you":
			hop.Name = "you"
		case "edge":
			hop.Name = words("edge", h.Name)
		case "warpgate": // its id is in the list
			hop.Name = "Warpgate"
		default:
			hop.Name = cmp.Or(h.Name, h.Hop)
		}
		switch h.State {
		case status.OK:
			hop.State = warpgates.Up
		case status.Failed:
			hop.State = warpgates.Failed
		}
		out.Hops = append(out.Hops, hop)
	}
	if r.Flows {
		out.Notes = append(out.Notes, "requests get through to "+r.URL)
	}
	if !r.ControlAway.IsZero() {
		out.Notes = append(out.Notes, "the tunnel can't reach the control plane; requests don't need it")
	}
	return out, nil
}

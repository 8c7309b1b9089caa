package trial

import (
	"context"
	"fmt"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/policy"
)

// What Warpgates make of a request that the routes allow.
const (
	// ForwardsYes: each one that is connected sends it to the workload.
	ForwardsYes = "yes"
	// ForwardsNo: none does; the answer is theirs.
	ForwardsNo = "no"
	// ForwardsSome: it depends on which one gets it.
	ForwardsSome = "some"
	// ForwardsUnknown: none is connected, or one doesn't say which upstreams it was started with,
	// and none is known to refuse it.
	ForwardsUnknown = "unknown"
)

// maxAsked is how many Warpgates are asked about: an environment with more has them from one
// deployment.
const maxAsked = 1000

// forward asks what the connected Warpgates of the environment would make of a request by a route,
// by what they say of themselves.
func (v *Verdict) forward(ctx context.Context, c *api.Client, at []string, route *policy.Route) error {
	var refuses, sends, unknown int
	asked := 0
	var why string
	for w, err := range api.All[mezu.Warpgate](ctx, c, api.OpListWarpgates, at...) {
		switch mezu.CodeOf(err) {
		case mezu.CodeForbidden, mezu.CodeNotFound:
			v.Notes = append(v.Notes, "Warpgates can't be seen with this token; whether they forward the request is left out")
			v.conclude(route, 0, 0, 0)
			return nil
		}
		if err != nil {
			return err
		}
		if asked++; asked > maxAsked {
			unknown++
			break
		}
		if w.Status != mezu.WarpgateConnected || w.Draining {
			continue
		}
		switch says, err := sendsBy(w.Targets, route); {
		case err != nil:
			refuses++
			v.Refusing = append(v.Refusing, w.ID)
			why = err.Detail
		case says:
			sends++
		default:
			unknown++
		}
	}
	if refuses > 0 && sends+unknown == 0 {
		v.Allowed, v.Forwards, v.Code, v.Status, v.Detail = false, ForwardsNo, mezu.CodeUpstreamNotAllowed, mezu.CodeUpstreamNotAllowed.Status(), why
		return nil
	}
	v.conclude(route, refuses, sends, unknown)
	return nil
}

// conclude says what is known of a request that is not refused by all.
func (v *Verdict) conclude(route *policy.Route, refuses, sends, unknown int) {
	switch {
	case refuses > 0:
		v.Forwards = ForwardsSome
	case sends > 0 && unknown == 0:
		v.Forwards = ForwardsYes
	case route.HasUpstream:
		v.Forwards = ForwardsUnknown
	}
}

// sendsBy reports whether a Warpgate sends a request by a route to its upstream, by the function that
// it asks itself, or why not. It is false without an error if the Warpgate doesn't tell.
func sendsBy(says *mezu.WarpgateTargets, route *policy.Route) (bool, *mezu.Error) {
	if says == nil {
		return false, nil
	}
	upstream, allow, err := says.Upstreams()
	if err != nil {
		return false, nil // it can't be read here: what a later build says
	}
	_, err = policy.NewTargets(upstream, allow).Of(route, nil)
	if err == nil {
		return true, nil
	}
	if says.More {
		return false, nil
	}
	return false, err.(*mezu.Error)
}

// Unsure is a sentence about what the routes alone can't tell; empty if nothing.
func (v *Verdict) Unsure() string {
	answer := fmt.Sprintf("%d %s", mezu.CodeUpstreamNotAllowed.Status(), mezu.CodeUpstreamNotAllowed)
	switch {
	case v.Forwards == ForwardsUnknown:
		return "whether a Warpgate forwards to " + v.Route.Upstream + " is unknown here: without --upstream or --allow-target " + v.Route.Upstream + " it answers " + answer
	case len(v.Refusing) == 0:
		return ""
	}
	const most = 5
	named := strings.Join(v.Refusing[:min(most, len(v.Refusing))], ", ")
	if more := len(v.Refusing) - most; more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	if v.Route == nil || v.Route.Upstream == "" {
		return named + " would answer " + answer + ": started without --upstream, and the route names none"
	}
	return named + " would answer " + answer + ": started without --upstream or --allow-target " + v.Route.Upstream
}

package policy

import (
	"slices"

	"github.com/mezusphere/mezu"
)

// Targets are where a Warpgate may send requests. It is read only.
type Targets struct {
	upstream mezu.Upstream
	allowed  map[address]bool
}

// address is an upstream without how it is spoken to there.
type address struct{ network, of string }

// NewTargets makes Targets of the upstream of routes that name none, the zero one if there is
// none, and of those that routes may name beside it.
func NewTargets(upstream mezu.Upstream, allow []mezu.Upstream) *Targets {
	t := &Targets{upstream: upstream, allowed: map[address]bool{}}
	for _, u := range append([]mezu.Upstream{upstream}, allow...) {
		if u.Address != "" {
			t.allowed[addressOf(u)] = true
		}
	}
	return t
}

func addressOf(u mezu.Upstream) address { return address{u.Network(), u.Address} }

// Allow reports whether requests may go to u. further decides on what is none of these; if nil,
// they may not go there.
func (t *Targets) Allow(u mezu.Upstream, further func(mezu.Upstream) bool) bool {
	return t.allowed[addressOf(u)] || further != nil && further(u)
}

// named is the upstream of a route, the zero one if there is none.
func (t *Targets) named(r *Route) mezu.Upstream {
	if r.HasUpstream {
		return r.Upstream
	}
	return t.upstream
}

// sameWorkload reports whether two upstreams have an address in common, however it is spoken to there.
func sameWorkload(a, b mezu.Upstream) bool {
	return a.Network() == b.Network() && slices.ContainsFunc(a.Addresses(), func(one string) bool { return slices.Contains(b.Addresses(), one) })
}

// Of is where the requests of a route go, or why they go nowhere: a mezu.CodeUpstreamNotAllowed.
// The Warpgate asks it, and who says what a Warpgate would do.
func (t *Targets) Of(r *Route, further func(mezu.Upstream) bool) (mezu.Upstream, error) {
	u := t.named(r)
	if u.Address == "" {
		return u, &mezu.Error{Code: mezu.CodeUpstreamNotAllowed, Detail: "neither the route nor the Warpgate names an upstream"}
	}
	if !t.Allow(u, further) {
		return u, &mezu.Error{Code: mezu.CodeUpstreamNotAllowed, Detail: "the Warpgate was not started with this upstream as --upstream or --allow-target"}
	}
	return u, nil
}

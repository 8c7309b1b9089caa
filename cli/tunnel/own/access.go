package own

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Access is what a run asks of visitors.
type Access struct {
	// Directory has them log in with an account of it.
	Directory string
	// CIDRs are the ranges of addresses that they may come from; if empty, all.
	CIDRs []string
	// Password says that this machine asks for one, which concerns no route.
	Password bool
	// Public lets everybody in whom the others don't keep out. Without it a run takes nothing
	// away that an environment asks for.
	Public bool
}

// everyone is who may enter where nothing is asked.
const everyone = "everyone (--auth DIRECTORY, --basic-auth or --allow-cidr restrict it)"

// first is the only route of a new environment.
func (a Access) first() mezu.Route {
	r := mezu.Route{Prefix: "/", AllowIPs: a.CIDRs}
	if a.Directory != "" {
		r.Auth = mezu.AuthRequired
	}
	return r
}

// routeTries is how often routes are read anew that somebody else changes at the same time.
const routeTries = 3

// Admit brings what the routes of an environment ask for to what a run asks for, in one change.
// It narrows all routes; only Public widens, and only the one for everything.
func (o *Owner) Admit(ctx context.Context, p *Site, a Access) error {
	if p.admitted {
		return nil
	}
	if a.Directory != "" && p.Directory != a.Directory {
		if p.Directory != "" {
			return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("%s lets in users of directory %s, not of %s", p.Text(), p.Directory, a.Directory),
				Hint: "mezu environments update " + p.Name + " --directory " + a.Directory + ", or --name NAME for an environment of its own"}
		}
		changed, err := api.Invoke[api.EnvironmentWritten](ctx, o.client, api.OpUpdateEnvironment, map[string]any{"directory": a.Directory}, p.Organization, p.Project, p.Name)
		if err != nil {
			return err
		}
		p.Environment, p.state, p.Closed = changed.Environment, nil, closed(changed.Warnings)
	}
	for try := 1; ; try++ {
		kept, err := o.bring(ctx, p, a)
		if err == nil {
			p.Kept = append(p.Kept, kept...)
			break
		}
		if code := mezu.CodeOf(err); try == routeTries || code != mezu.CodeConflict && code != mezu.CodePreconditionFailed {
			return err
		}
		now, err := o.look(ctx, p.Organization, p.Project, p.Name)
		if err != nil {
			return err
		}
		p.routes, p.revision, p.state = now.routes, now.revision, now.state
	}
	if a.Directory == "" && len(a.CIDRs) == 0 {
		return nil // nobody is kept out who was let in
	}
	return o.inForce(ctx, p)
}

// bring changes the routes as they were read, unless somebody else has changed them since. It
// says what stays although the run asked for less.
func (o *Owner) bring(ctx context.Context, p *Site, a Access) (kept []string, err error) {
	if len(p.routes) == 0 && p.Mine {
		return nil, o.makeRoute(ctx, p, a) // the run that made it was cut before the route, or is about to make it
	}
	before := slices.Clone(p.routes)
	if kept = a.narrow(p); slices.EqualFunc(before, p.routes, sameAccess) {
		return kept, nil
	}
	routes := make([]mezu.Route, len(p.routes))
	for i, r := range p.routes {
		r.Meta = mezu.Meta{}
		routes[i] = r
	}
	var state api.RoutesState
	call := api.Call{Operation: api.OpReplaceRoutes, Params: []string{p.Organization, p.Project, p.Name}, Body: api.RoutesReplace{Routes: routes}, IfMatch: p.revision}
	if err := o.client.Do(ctx, call, &state); err != nil {
		return nil, err
	}
	p.state, p.Closed = &state, closed(state.Warnings)
	return kept, nil
}

func sameAccess(a, b mezu.Route) bool {
	return a.ID == b.ID && asks(a) == asks(b) && slices.Equal(a.AllowIPs, b.AllowIPs)
}

func asks(r mezu.Route) bool { return r.Auth == mezu.AuthRequired }

// everything reports whether a route is the one for all that no other one takes.
func everything(r mezu.Route) bool {
	return r.Prefix == "/" && len(r.Methods) == 0 && len(r.Headers) == 0
}

// narrow changes the routes, and says what stays although the run asked for less.
func (a Access) narrow(p *Site) (kept []string) {
	for i := range p.routes {
		r := &p.routes[i]
		if a.Directory != "" && !asks(*r) {
			r.Auth = mezu.AuthRequired
		}
		if len(a.CIDRs) > 0 && within(a.CIDRs, r.AllowIPs) {
			r.AllowIPs = a.CIDRs
		}
		if !everything(*r) {
			continue
		}
		if a.Public {
			r.AllowIPs = a.CIDRs
			if a.Directory == "" {
				r.Auth, r.AuthMethods, r.Roles, r.Permissions, r.AnyPermissions = "", nil, nil, nil, nil
			}
			continue
		}
		if asks(*r) && a.Directory == "" {
			kept = append(kept, p.Text()+" asked for login until now; it stays so (--public opens it)")
		} else if len(r.AllowIPs) > 0 && !slices.Equal(r.AllowIPs, a.CIDRs) {
			kept = append(kept, p.Text()+" was open to "+list(r.AllowIPs)+" only until now; it stays so (--public opens it)")
		}
	}
	return kept
}

// within reports whether all ranges lie in the others; no others are all addresses.
func within(ranges, others []string) bool {
	if len(others) == 0 {
		return true
	}
	return !slices.ContainsFunc(ranges, func(text string) bool {
		inner, err := mezu.ParseIPRange(text)
		return err != nil || !slices.ContainsFunc(others, func(o string) bool {
			outer, err := mezu.ParseIPRange(o)
			return err == nil && covers(outer, inner)
		})
	})
}

func covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// OpenTo says who may enter, as the widest route has it. password says that this machine asks for
// one.
func (p *Site) OpenTo(password bool) string {
	login, ranges := len(p.routes) > 0, []string(nil)
	for i, r := range p.routes {
		login = login && asks(r)
		if i == 0 {
			ranges = r.AllowIPs
		} else if !slices.Equal(ranges, r.AllowIPs) {
			ranges = nil
		}
	}
	var parts []string
	if login {
		parts = append(parts, "who logs in at directory "+p.Directory)
	}
	if password {
		parts = append(parts, "who has the password")
	}
	if len(ranges) > 0 {
		parts = append(parts, "who comes from "+list(ranges))
	}
	switch {
	case len(p.routes) == 0:
		return "nobody: it has no routes (mezu routes create --prefix / makes one)"
	case len(parts) == 0:
		return everyone
	}
	return strings.Join(parts, ", ")
}

// list shows the first ranges.
func list(ranges []string) string {
	const shown = 3
	if len(ranges) <= shown {
		return strings.Join(ranges, ", ")
	}
	return strings.Join(ranges[:shown], ", ") + fmt.Sprintf(" and %d more", len(ranges)-shown)
}

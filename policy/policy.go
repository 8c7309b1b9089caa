// Package policy turns a bundle into an immutable table and a request with its
// grant into a decision. The edge runs it as the first line of defence and the
// Warpgate runs the same code as the second one.
//
// What may live here: matching, judging and explaining. What may not: sockets,
// HTTP messages, clocks, signatures (a grant comes here verified), the store. It
// imports the domain, and what a rate limit counts (gcra); edgesvc/edge, daemon and who tries routes (cli) import it.
package policy

import (
	"net/netip"

	"github.com/mezusphere/mezu"
)

// Request is what a decision is made of.
type Request struct {
	Method string
	// Path is canonical (mezu.CanonicalPath), without query.
	Path mezu.Path
	// Carries reports whether the request has a header, by its name in lower case,
	// and every line of it has exactly this value. It is called only where routes have
	// header conditions; if nil, the request has no header.
	Carries func(name, value string) bool
	// Client is the address of the client; the zero address passes no route
	// that has address rules.
	Client netip.Addr
	// Grant is verified and not expired; nil is an anonymous client. A grant of
	// another environment, or of a directory that the environment does not
	// name any more, counts as none.
	Grant *mezu.Grant
	// Session finds Grant where nobody has looked for it yet; if nil, somebody has. It is
	// called once at most, by the table that judges, and only when the chosen route asks who
	// the client is: a public route costs its visitors no look at their sessions.
	Session func(*Table) *mezu.Grant
	// Targets are those of the Warpgate that judges: they say which routes lead to one workload. An
	// edge doesn't know them, and has nil.
	Targets *Targets
	// Edge says that an edge judges: what an edge alone enforces counts.
	Edge bool
	// Preflight is what the request asks for if it may be a preflight of CORS, else nil. An edge
	// alone sets it.
	Preflight *Preflight
}

// grant is who the client is to a table, nil if it is anonymous there.
func (r *Request) grant(t *Table) *mezu.Grant {
	g := r.Grant
	if r.Session != nil {
		g = r.Session(t)
	}
	if g == nil || g.Environment != t.bundle.Environment || g.Directory != t.bundle.Directory {
		return nil
	}
	return g
}

// Decision is the verdict on a request.
type Decision struct {
	// Route is the one that was chosen, nil when none was.
	Route *Route
	// Behind is the route of the path that the workload gets in place of the client's, if that route
	// had to admit the request, too; else nil.
	Behind *Route
	// Code is the refusal; if empty, the request is allowed.
	Code mezu.Code
	// Detail is one sentence for the body of a refusal. It holds nothing of
	// the request.
	Detail string
	// Missing is what the user lacks, for a CodeForbidden because of that; else nil.
	Missing *Missing
	// Grant is who the client is, if the route asks for that. It is nil for an anonymous
	// client, and where the route asks nobody.
	Grant *mezu.Grant
	// Allow lists the methods for a CodeMethodNotAllowed, sorted. It belongs
	// to the table and must not be changed.
	Allow []string
	// Step is the one that has refused the request, zero if none has.
	Step Step
	// Preflight says that the request is a preflight that the route's CORS answers.
	Preflight bool
}

// Answer is a response that no workload gave: a redirect, the answer to a preflight, a
// canned page.
type Answer struct {
	Status int
	Header []Header
	Body   []byte
}

// Header is a field of an Answer.
type Header struct{ Name, Value string }

// Allowed reports whether the request was not refused.
func (d *Decision) Allowed() bool { return d.Code == "" }

// Decide judges a request: what both edge and Warpgate judge, by the same rules. Between its two
// halves, Choose and Authorize, an edge has rules of its own. It allocates nothing for a request
// that an exact or prefix route allows.
func (t *Table) Decide(r *Request) Decision { return t.decide(r, nil) }

// decide is both Decide and Explain, so that they can't differ. tr may be nil.
func (t *Table) decide(r *Request, tr *trace) Decision {
	d := t.choose(r, tr)
	if d.Code == "" && !d.Preflight {
		t.Authorize(&d, r)
	}
	return d
}

// Choose takes the steps up to the address rules: it finds the route, or refuses.
func (t *Table) Choose(r *Request) Decision { return t.choose(r, nil) }

func (t *Table) choose(r *Request, tr *trace) Decision {
	if d := t.Enter(r); d.Code != "" {
		return d
	}
	g, d := t.match(r.Path.Path, tr)
	if !d.Allowed() {
		return d
	}
	if g == nil {
		return refuse(nil, StepRoute, mezu.CodeNoRoute, "no route matches the path")
	}
	if r.Preflight != nil {
		if d, is := t.preflight(g, r); is {
			return d
		}
	}
	route, named := g.choose(r, tr)
	switch {
	case route != nil:
		d := t.admit(route, r)
		if d.Code == "" && route.StripPrefix != "" && route.answer == nil {
			t.behind(&d, g, r)
		}
		return d
	case named:
		return refuse(nil, StepRoute, mezu.CodeNoRoute, "no route matches the headers of the request")
	}
	d = refuse(nil, StepRoute, mezu.CodeMethodNotAllowed, "the route does not allow the method")
	d.Allow = g.allow
	return d
}

// Enter is what concerns all of an environment: whether it is there and on, and, at an edge,
// whether it is under maintenance.
func (t *Table) Enter(r *Request) Decision {
	switch {
	case t.bundle.Removed:
		return refuse(nil, StepForm, mezu.CodeUnknownHost, "the environment does not exist any more")
	case !t.bundle.Enabled:
		return refuse(nil, StepForm, mezu.CodeEnvironmentDisabled, "the environment is switched off")
	case r.Edge && t.bundle.Maintenance != nil && !passes(r.Client, t.spared):
		return refuse(nil, StepForm, mezu.CodeMaintenance, t.maintained)
	}
	return Decision{}
}

// Admits is the environment's own address rules.
func (t *Table) Admits(client netip.Addr) bool { return t.addresses.admit(client) }

// admit judges what doesn't depend on who the client is, in the order in which a stranger learns
// least from the answer.
func (t *Table) admit(route *Route, r *Request) Decision {
	switch {
	case route.Closed != "":
		return refuse(route, StepRoute, mezu.CodeRouteUnavailable, route.closedDetail)
	case r.Path.EncodedSlash && !route.EncodedSlashes:
		return refuse(route, StepRoute, mezu.CodeNotCanonical, "the route does not take paths with %2F or %5C")
	case !t.addresses.admit(r.Client), !route.addresses.admit(r.Client):
		return refuse(route, StepAddress, mezu.CodeForbidden, "the client's address is not admitted")
	}
	return Decision{Route: route}
}

// AsksWho reports whether who the client is makes a difference to the decision.
func (d *Decision) AsksWho() bool {
	return d.Route.AsksWho() || d.Behind != nil && d.Behind.AsksWho()
}

// Authorize judges who the client is, if the route that was chosen asks, or the one behind it.
func (t *Table) Authorize(d *Decision, r *Request) {
	if !d.AsksWho() {
		return
	}
	d.Grant = r.grant(t)
	for _, route := range [...]*Route{d.Route, d.Behind} {
		if route == nil || route.Auth != mezu.AuthRequired || !route.AsksWho() {
			continue
		}
		if d.Grant == nil {
			d.Step, d.Code, d.Detail = StepAuth, mezu.CodeUnauthenticated, "a login is required"
			return
		}
		if missing := route.lacks(d.Grant.Roles); missing != nil {
			d.Step, d.Code, d.Detail, d.Missing = StepAuth, mezu.CodeForbidden, "the user lacks a role or permission", missing
			return
		}
	}
}

func refuse(route *Route, at Step, code mezu.Code, detail string) Decision {
	return Decision{Route: route, Step: at, Code: code, Detail: detail}
}

package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
)

// Edits are what a route changes of the fields of messages, ready to use.
type Edits struct {
	// Set are the fields that are there afterwards, by name.
	Set []Field
	// taken are the names of those that are set or removed, in lower case.
	taken []string
	// alike says that '_' and '.' in a name are read as '-': to some workloads it is the same field.
	alike bool
}

// Field is one that is set.
type Field struct{ Name, Value []byte }

// compileEdits prepares edits; nil for none. alike is for requests.
func compileEdits(in *mezu.HeaderEdits, alike bool) *Edits {
	if in == nil || len(in.Set)+len(in.Remove) == 0 {
		return nil
	}
	e := &Edits{alike: alike}
	take := func(name string) {
		name = strings.ToLower(name)
		if alike {
			name = strings.NewReplacer("_", "-", ".", "-").Replace(name)
		}
		if !slices.Contains(e.taken, name) {
			e.taken = append(e.taken, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in.Set)) {
		e.Set = append(e.Set, Field{[]byte(name), []byte(in.Set[name])})
		take(name)
	}
	for _, name := range in.Remove {
		take(name)
	}
	return e
}

// Each calls add for each field that is set.
func (e *Edits) Each(add func(name, value []byte)) {
	for i := range e.Set {
		add(e.Set[i].Name, e.Set[i].Value)
	}
}

// Takes reports whether a field of this name is taken away, if only to be set anew.
func (e *Edits) Takes(name []byte) bool {
	for _, t := range e.taken {
		if len(t) == len(name) && e.is(name, t) {
			return true
		}
	}
	return false
}

func (e *Edits) is(name []byte, lower string) bool {
	for i, c := range name {
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case e.alike && (c == '_' || c == '.'):
			c = '-'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Cut is the path that the workload gets in place of a canonical one, and what is cut off its
// beginning, empty if nothing is.
func (r *Route) Cut(path string) (sent, prefix string) {
	if r.StripPrefix == "" {
		return path, ""
	}
	if sent = r.Sent(path); sent == path {
		return path, ""
	}
	return sent, strings.TrimSuffix(r.StripPrefix, "/")
}

// behind finds the route that the path would have which the workload gets in place of the client's
// (R9). If it leads to the same workload, it has to admit the request, too: or a prefix that is cut
// off would be a way around it. own is the group of the route that was chosen.
func (t *Table) behind(d *Decision, own *group, r *Request) {
	route := d.Route
	sent, cut := route.Cut(r.Path.Path)
	if cut == "" {
		return
	}
	no := func(at Step, code mezu.Code, detail string) { *d = refuse(route, at, code, detail) }
	if strings.HasPrefix(sent+"/", mezu.ReservedPath) {
		no(StepRoute, mezu.CodeNoRoute, "the path behind strip_prefix is the edge's own")
		return
	}
	g, m := t.match(sent, nil)
	switch {
	case m.Code != "":
		no(m.Step, m.Code, m.Detail)
		return
	case g == nil, g == own, !slices.ContainsFunc(g.routes, func(o *Route) bool { return route.besides(o, r.Targets) }):
		return
	}
	other := *r
	other.Path = mezu.Path{Path: sent, EncodedSlash: strings.Contains(sent, "%2F") || strings.Contains(sent, "%5C")}
	second, named := g.choose(&other, nil)
	switch {
	case second == nil && named:
		no(StepRoute, mezu.CodeNoRoute, "no route matches the headers of the request for the path behind strip_prefix")
		return
	case second == nil:
		no(StepRoute, mezu.CodeMethodNotAllowed, "the route of the path behind strip_prefix does not allow the method")
		d.Allow = g.allow
		return
	case !route.besides(second, r.Targets):
		return
	case second.Closed == "" && (second.Answers() || second.Webhook() != "" && second.Webhook() != route.Webhook()):
		// No request comes to the workload by that route, or none without a signature.
		no(StepRoute, mezu.CodeNoRoute, "the route of the path behind strip_prefix does not let the request through")
		return
	}
	if got := t.admit(second, &other); got.Code != "" {
		no(got.Step, got.Code, got.Detail)
		return
	}
	d.Behind = second
}

// besides reports whether another route leads to the same workload. Without the targets of a Warpgate
// only their upstreams as they are written say so.
func (r *Route) besides(other *Route, to *Targets) bool {
	if to != nil {
		return sameWorkload(to.named(r), to.named(other))
	}
	return other.HasUpstream == r.HasUpstream && other.Upstream == r.Upstream
}

package mezu

import (
	"context"
	"reflect"
	"slices"
	"strings"
)

const (
	// MaxWarnings bounds the warnings about one set of routes. Nobody reads more, and their
	// number could grow with the square of the number of routes.
	MaxWarnings = 100
	// maxShadowSteps bounds the search for shadowed prefixes to some 20 ms for any set of
	// routes. In one step one pattern reads one byte of a prefix.
	maxShadowSteps = 1 << 22
	// maxCORSPairs bounds the search for routes that differ in cors to as much time. Only routes of
	// one path are compared.
	maxCORSPairs = 1 << 16
)

// Warnings are remarks about routes that are valid but may not do what was meant. There are
// at most MaxWarnings, and a last one if there are more.
func Warnings(ctx context.Context, routes []Route) []string {
	return warningsOf(routes, func() ([]*Pattern, error) { return CompilePatterns(ctx, "", routes) })
}

// warningsOf is Warnings. The function compiled gives the patterns of all regexps.
func warningsOf(routes []Route, compiled func() ([]*Pattern, error)) []string {
	var out []string
	for i := range routes {
		out = append(out, routes[i].ownWarnings()...)
		if len(out) > MaxWarnings {
			return boundWarnings(out)
		}
	}
	patterns, err := compiled()
	if err != nil {
		return boundWarnings(out)
	}
	for _, p := range patterns {
		if p.Refused != nil {
			out = append(out, "regexp "+p.Source+" "+p.Refused.Detail+"; the route answers 503 route_unavailable")
		}
	}
	out = append(append(out, shadowWarnings(routes, patterns)...), corsWarnings(routes)...)
	return boundWarnings(append(out, behindWarnings(routes, routes, patterns)...))
}

func boundWarnings(out []string) []string {
	if len(out) > MaxWarnings {
		out = append(out[:MaxWarnings], "there are more remarks than these")
	}
	return out
}

// Warnings are remarks about one route, given all routes of its environment.
func (r *Route) Warnings(ctx context.Context, all []Route) []string {
	concerned, beside := []Route{*r}, []Route{*r}
	for i := range all {
		if o := &all[i]; o.ID != r.ID && o.Mode() == r.Mode() && o.Value() == r.Value() {
			beside = append(beside, *o)
		}
		// Only a public regexp and a protected prefix can shadow each other.
		if o := &all[i]; r.Mode() != MatchExact && o.Mode() != MatchExact && o.Mode() != r.Mode() {
			concerned = append(concerned, *o)
		}
	}
	patterns, err := CompilePatterns(ctx, "", concerned)
	if err != nil {
		return boundWarnings(r.ownWarnings())
	}
	out := append(append(r.ownWarnings(), shadowWarnings(concerned, patterns)...), corsWarnings(beside)...)
	// What is behind its prefix, and whose prefixes it is behind.
	if r.StripPrefix != "" {
		if patterns, err = CompilePatterns(ctx, "", all); err != nil {
			return boundWarnings(out)
		}
	}
	out = append(out, behindWarnings([]Route{*r}, all, patterns)...)
	return boundWarnings(append(out, behindWarnings(all, []Route{*r}, patterns)...))
}

// Warnings are remarks about a directory's settings.
func (d *Directory) Warnings() []string {
	if d.MFA != MFARequired {
		return nil
	}
	return []string{"mfa: required is not enforced by this version; routes with auth: required or optional answer 503 route_unavailable where directory " + d.Name + " is named"}
}

// ownWarnings are the warnings that don't depend on other routes.
func (r *Route) ownWarnings() []string {
	var out []string
	for _, f := range r.Unenforced() {
		out = append(out, r.Label()+": "+f+" is not enforced by this version; the route answers 503 route_unavailable")
	}
	out = append(append(out, r.limitWarnings()...), r.rewriteWarnings()...)
	if r.Mode() == MatchPrefix && !strings.HasSuffix(r.Prefix, "/") {
		out = append(out, "prefix "+r.Prefix+" also matches "+r.Prefix+"x; write "+r.Prefix+"/ to match below it only")
	}
	return out
}

// shadowWarnings names each public regexp that can take requests from protected prefixes,
// with those prefixes. patterns has those of all regexps.
func shadowWarnings(routes []Route, patterns []*Pattern) []string {
	var protected []string
	for i := range routes {
		if r := &routes[i]; r.Mode() == MatchPrefix && r.Auth == AuthRequired {
			protected = append(protected, r.Prefix)
		}
	}
	if len(protected) == 0 {
		return nil
	}
	slices.Sort(protected)
	protected = slices.Compact(protected)
	bySource := make(map[string]*Pattern, len(patterns))
	for _, p := range patterns {
		bySource[p.Source] = p
	}
	var out []string
	work := 0
	for i := range routes {
		r := &routes[i]
		if r.Mode() != MatchRegexp || r.Auth == AuthRequired {
			continue
		}
		for _, prefix := range protected {
			if len(out) > MaxWarnings {
				return out
			}
			if work += 1 + len(prefix); work > maxShadowSteps {
				return append(out, "there are too many routes to look for every public regexp that can shadow a protected prefix")
			}
			if bySource[r.Regexp].canStartWith(prefix) {
				out = append(out, "public regexp "+r.Regexp+" can shadow protected prefix "+prefix)
			}
		}
	}
	return out
}

// corsWarnings names routes between which a preflight can't choose: which of them a request has
// depends on the value of a header, which a preflight doesn't have yet, and their cors differ.
func corsWarnings(routes []Route) []string {
	type match struct {
		mode  MatchMode
		value string
	}
	var conditional map[match][]*Route
	for i := range routes {
		if r := &routes[i]; len(r.Headers) > 0 {
			if conditional == nil {
				conditional = map[match][]*Route{}
			}
			m := match{r.Mode(), r.Value()}
			conditional[m] = append(conditional[m], r)
		}
	}
	if conditional == nil {
		return nil
	}
	var out []string
	work := 0
	for i := range routes {
		o := &routes[i]
		for _, r := range conditional[match{o.Mode(), o.Value()}] {
			if work++; work > maxCORSPairs {
				return append(out, "there are too many routes of one path to look for all that differ in cors")
			}
			// Two with conditions are met twice.
			if r == o || len(o.Headers) > 0 && r.Label()+r.matchKey() > o.Label()+o.matchKey() || !r.sharesMethod(o) || reflect.DeepEqual(r.CORS, o.CORS) {
				continue
			}
			if len(out) > MaxWarnings {
				return out
			}
			out = append(out, r.Label()+" and "+o.Label()+" differ in cors: a preflight whose request may have either gets 403")
		}
	}
	return out
}

// sharesMethod reports whether both routes take some method.
func (r *Route) sharesMethod(o *Route) bool {
	return len(r.Methods) == 0 || len(o.Methods) == 0 || slices.ContainsFunc(r.Methods, func(m string) bool { return slices.Contains(o.Methods, m) })
}

// Unenforced names the fields of the route that this build stores and does not
// enforce yet. Such a route never opens: it answers CodeRouteUnavailable.
func (r *Route) Unenforced() []string {
	var out []string
	add := func(set bool, field string) {
		if set {
			out = append(out, field)
		}
	}
	add(!r.defaultAuthMethods() && r.Webhook() == "", "auth_methods")
	return out
}

// defaultAuthMethods reports whether the route accepts session, bearer and service_account
// and nothing else. A narrower choice could not be enforced, because a grant does not say by
// which of these methods it was obtained.
func (r *Route) defaultAuthMethods() bool {
	if len(r.AuthMethods) == 0 {
		return true
	}
	methods := slices.Sorted(slices.Values(r.AuthMethods))
	return slices.Equal(slices.Compact(methods), []string{"bearer", "service_account", "session"})
}

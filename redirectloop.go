package mezu

import (
	"context"
	"slices"
	"strings"
)

const (
	// maxRedirectHops is how many redirects of an environment are followed to find out whether the
	// last one leads back. Browsers give up after twenty.
	maxRedirectHops = 20
	// maxLoopSteps bounds the search for loops in any set of routes, as maxShadowSteps does that for
	// shadows. In one step a pattern reads a byte of a path, or a prefix of it is looked up. A loop
	// that is not searched for any more, edges find when it is asked for.
	maxLoopSteps = 1 << 22
)

// refuseLoops refuses redirects that lead back to their own route by paths of their host, by way of
// the routes as they are. patterns has those of all regexps. If only is not negative, it is about
// that route alone.
func refuseLoops(ctx context.Context, field string, routes []Route, patterns func() ([]*Pattern, error), only int) error {
	var f *finder
	for i := range routes {
		if routes[i].Redirect == nil || only >= 0 && i != only {
			continue
		}
		if f == nil {
			compiled, err := patterns()
			if err != nil {
				return err
			}
			f = newFinder(routes, compiled)
		}
		if err := look(ctx, i); err != nil {
			return err
		}
		if by, loops := f.loop(i); loops {
			detail := "leads back to the same route"
			if len(by) > 0 {
				detail += ", by way of " + strings.Join(by, ", ")
			}
			err := Invalid("redirect.to", "%s", detail)
			if only >= 0 {
				return err
			}
			return at(indexed(field, i), err)
		}
	}
	return nil
}

// finder finds the route of a path as package policy does, for a handful of paths.
type finder struct {
	routes   []Route
	values   map[MatchMode]map[string][]int
	patterns []*Pattern // in the order in which they are tried
	targets  map[int]*Target
	steps    int
}

func newFinder(routes []Route, patterns []*Pattern) *finder {
	f := &finder{routes: routes, values: map[MatchMode]map[string][]int{MatchExact: {}, MatchRegexp: {}, MatchPrefix: {}}, patterns: patterns, targets: map[int]*Target{}}
	for i := range routes {
		r := &routes[i]
		f.values[r.Mode()][r.Value()] = append(f.values[r.Mode()][r.Value()], i)
		if r.Redirect != nil {
			if t, err := ParseTarget(r.Redirect.To); err == nil && t.Origin == "" {
				f.targets[i] = t
			}
		}
	}
	return f
}

// loop follows the redirect of the i-th route, and reports whether that comes to the same route
// again, and by which others.
func (f *finder) loop(i int) (by []string, loops bool) {
	start := &f.routes[i]
	methods := start.Methods
	if len(methods) == 0 {
		methods = []string{"GET"}
	}
	for _, path := range samples(start) {
		for _, method := range methods {
			if by, loops = f.follow(i, path, method); loops {
				return by, true
			}
		}
	}
	return nil, false
}

// samples are paths that a route matches: its value, and one below it. Nothing is made up for a
// regexp; its target may not depend on the path.
func samples(r *Route) []string {
	switch r.Mode() {
	case MatchExact:
		return []string{r.Exact}
	case MatchPrefix:
		return []string{r.Prefix, strings.TrimSuffix(r.Prefix, "/") + "/x"}
	}
	if strings.Contains(r.Redirect.To, "{path}") {
		return nil
	}
	return []string{"/"}
}

func (f *finder) follow(i int, path, method string) (by []string, loops bool) {
	headers, long := f.routes[i].Headers, len(path)
	for at := i; len(by) < maxRedirectHops; {
		target := f.targets[at]
		if target == nil {
			return nil, false
		}
		_, path = target.Fill(f.routes[at].Sent(path), "")
		canonical, err := CanonicalPath(path)
		if err != nil {
			return nil, false
		}
		path, method = canonical.Path, f.routes[at].Redirect.Next(method)
		if at = f.find(path, method, headers); at < 0 {
			return nil, false
		}
		if at == i && (len(path) >= long || f.routes[i].Mode() == MatchRegexp) {
			return by, true // a path that gets shorter comes to an end
		}
		by = append(by, f.routes[at].Label())
	}
	return nil, false
}

// find is the index of the route that a request has, -1 for none.
func (f *finder) find(path, method string, headers map[string]string) int {
	if strings.HasPrefix(path, ReservedPath) {
		return -1
	}
	if group := f.values[MatchExact][path]; group != nil {
		return f.choose(group, method, headers)
	}
	for _, p := range f.patterns {
		if f.steps += 1 + len(path); f.steps > maxLoopSteps {
			return -1
		}
		if p.Refused == nil && !p.TooLong(path) && p.Matches(path) {
			return f.choose(f.values[MatchRegexp][p.Source], method, headers)
		}
	}
	f.steps += len(path)
	for n := len(path); n > 0 && f.steps <= maxLoopSteps; n-- {
		if group := f.values[MatchPrefix][path[:n]]; group != nil {
			return f.choose(group, method, headers)
		}
	}
	return -1
}

// choose picks one of a group: those that name the method first, and of these those with more
// conditions.
func (f *finder) choose(group []int, method string, headers map[string]string) int {
	best := -1
	for _, i := range group {
		r := &f.routes[i]
		if len(r.Methods) > 0 && !slices.Contains(r.Methods, method) || !f.meets(r, headers) {
			continue
		}
		if best >= 0 {
			b := &f.routes[best]
			if named, best := len(r.Methods) > 0, len(b.Methods) > 0; named != best && !named || named == best && len(r.Headers) <= len(b.Headers) {
				continue
			}
		}
		best = i
	}
	return best
}

// meets reports whether a client that sends these headers meets the conditions of a route.
func (f *finder) meets(r *Route, headers map[string]string) bool {
	for name, value := range r.Headers {
		met := false
		for n, v := range headers {
			met = met || strings.EqualFold(n, name) && v == value
		}
		if !met {
			return false
		}
	}
	return true
}

package policy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
)

// Table is a bundle, compiled: immutable and safe for concurrent use.
type Table struct {
	bundle   *mezu.Bundle
	exact    map[string]*group
	patterns []pattern
	prefixes prefixes
}

// group is all routes with one mode and value, between which method and headers
// choose.
type group struct {
	// routes in the order in which they are tried: more header conditions
	// first, then by name bytes, then by conditions and methods, which differ.
	routes []*Route
	// allow is the union of the methods, sorted; nil if a route takes any.
	allow []string
}

// pattern is one regexp and its group.
type pattern struct {
	source string
	// literal begins every path that the pattern matches; to compare it costs
	// a fraction of running the pattern.
	literal string
	re      *regexp.Regexp
	// priority is the highest of the group: the path chooses the pattern before
	// method and headers choose the route.
	priority int
	group    *group
}

// Compile validates a bundle and makes a table of it. After an error the bundle
// must be rejected as a whole and the last good one kept. The bundle belongs to
// the table from then on.
func Compile(b *mezu.Bundle) (*Table, error) {
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("compiling bundle %s: %w", b.Position, err)
	}
	t := &Table{bundle: b, exact: make(map[string]*group)}
	if b.Removed {
		return t, nil
	}
	patterns, prefixed := make(map[string]*group), make(map[string]*group)
	byMode := map[mezu.MatchMode]map[string]*group{mezu.MatchExact: t.exact, mezu.MatchRegexp: patterns, mezu.MatchPrefix: prefixed}
	for i := range b.Routes {
		r, err := compileRoute(b, i)
		if err != nil {
			return nil, fmt.Errorf("compiling route %d of bundle %s: %w", i, b.Position, err)
		}
		groups, value := byMode[r.Mode()], r.Value()
		if groups[value] == nil {
			groups[value] = &group{}
		}
		groups[value].routes = append(groups[value].routes, r)
	}
	for _, groups := range byMode {
		for _, g := range groups {
			g.seal()
		}
	}
	if err := t.addPatterns(patterns); err != nil {
		return nil, fmt.Errorf("compiling bundle %s: %w", b.Position, err)
	}
	t.prefixes = newPrefixes(prefixed)
	return t, nil
}

// Bundle is the source. It is read only.
func (t *Table) Bundle() *mezu.Bundle { return t.bundle }

// Position is the bundle's.
func (t *Table) Position() mezu.Position { return t.bundle.Position }

func (t *Table) addPatterns(groups map[string]*group) error {
	for source, g := range groups {
		re, err := mezu.CompileMatch(source)
		if err != nil {
			return err
		}
		bare, err := regexp.Compile(source)
		if err != nil {
			return err
		}
		p := pattern{source: source, re: re, group: g, priority: g.routes[0].Priority}
		p.literal, _ = bare.LiteralPrefix()
		for _, r := range g.routes {
			p.priority = max(p.priority, r.Priority)
		}
		t.patterns = append(t.patterns, p)
	}
	slices.SortFunc(t.patterns, func(a, b pattern) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), strings.Compare(a.source, b.source))
	})
	return nil
}

// match finds the group that the path chooses, nil if there is none.
func (t *Table) match(path string, tr *trace) *group {
	if strings.HasPrefix(path, mezu.ReservedPath) {
		return nil
	}
	if g := t.exact[path]; g != nil {
		return g
	}
	for i := range t.patterns {
		p := &t.patterns[i]
		if strings.HasPrefix(path, p.literal) && p.re.MatchString(path) {
			return p.group
		}
		tr.pass(p.group.routes[0], "the pattern does not match")
	}
	return t.prefixes.longest(path, tr)
}

// seal puts the routes in order and derives allow.
func (g *group) seal() {
	slices.SortFunc(g.routes, func(a, b *Route) int {
		return cmp.Or(cmp.Compare(len(b.conditions), len(a.conditions)), slices.Compare(a.order[:], b.order[:]))
	})
	for _, r := range g.routes {
		if len(r.Methods) == 0 {
			g.allow = nil
			return
		}
		g.allow = append(g.allow, r.Methods...)
	}
	slices.Sort(g.allow)
	g.allow = slices.Compact(g.allow)
}

// choose picks the route by method and headers: those that name the method
// before those that take any. named says that at least one takes the method.
func (g *group) choose(r *Request, tr *trace) (route *Route, named bool) {
	for _, anyMethod := range [...]bool{false, true} {
		for _, c := range g.routes {
			if (len(c.Methods) == 0) != anyMethod {
				continue
			}
			if !anyMethod && !slices.Contains(c.Methods, r.Method) {
				tr.pass(c, "does not allow the method")
				continue
			}
			named = true
			if missing, ok := c.meets(r.Header); !ok {
				if tr != nil {
					tr.pass(c, "the header "+missing+" is missing or has another value")
				}
				continue
			}
			return c, true
		}
	}
	return nil, named
}

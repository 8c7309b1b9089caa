package policy

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
)

// Table is a bundle, compiled: immutable and safe for concurrent use.
type Table struct {
	bundle   *mezu.Bundle
	exact    map[string]*group
	patterns []pattern // in the order in which they are tried
	literals literals  // of the patterns
	prefixes prefixes[*group]
	// addresses are the environment's own rules, spared is whom its maintenance lets pass, and
	// maintained is what the others read, and in how many seconds they may try again.
	addresses  addresses
	spared     []netip.Prefix
	maintained string
	retryAfter string
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
	*mezu.Pattern
	group *group
}

// Compile validates a bundle and makes a table of it. After an error the bundle
// must be rejected as a whole and the last good one kept. The bundle belongs to
// the table from then on.
func Compile(b *mezu.Bundle) (*Table, error) {
	if err := b.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("compiling bundle %s: %w", b.Position, err)
	}
	t := &Table{bundle: b, exact: make(map[string]*group)}
	if b.Removed {
		return t, nil
	}
	if err := t.compileEnvironment(); err != nil {
		return nil, fmt.Errorf("compiling bundle %s: %w", b.Position, err)
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
	t.literals, t.prefixes = newLiterals(t.patterns), newPrefixes(prefixed)
	return t, nil
}

// compileEnvironment takes what concerns all routes.
func (t *Table) compileEnvironment() (err error) {
	if t.addresses, err = parseAddresses(t.bundle.AllowIPs, t.bundle.DenyIPs); err != nil {
		return err
	}
	if m := t.bundle.Maintenance; m != nil {
		t.maintained = cmp.Or(m.Message, "the site is under maintenance")
		t.retryAfter = strconv.Itoa(int(time.Duration(cmp.Or(m.RetryAfter, mezu.DefaultRetryAfter)) / time.Second))
		t.spared, err = parseRanges(m.AllowIPs)
	}
	return err
}

// RetryAfter is in how many seconds whoever maintenance turns away may try again.
func (t *Table) RetryAfter() string { return t.retryAfter }

// Bundle is the source. It is read only.
func (t *Table) Bundle() *mezu.Bundle { return t.bundle }

// Position is the bundle's.
func (t *Table) Position() mezu.Position { return t.bundle.Position }

func (t *Table) addPatterns(groups map[string]*group) error {
	compiled, err := mezu.CompilePatterns(context.Background(), "routes", t.bundle.Routes)
	if err != nil {
		return err
	}
	for _, p := range compiled {
		t.patterns = append(t.patterns, pattern{p, groups[p.Source]})
	}
	return nil
}

// match finds the group that the path chooses, nil if there is none. With a refusal the
// path could not be matched.
func (t *Table) match(path string, tr *trace) (*group, Decision) {
	if strings.HasPrefix(path, mezu.ReservedPath) {
		return nil, Decision{}
	}
	if g := t.exact[path]; g != nil {
		return g, Decision{}
	}
	c := t.literals.of(path, tr != nil)
	for i := c.next(); i >= 0; i = c.next() {
		p := &t.patterns[i]
		switch {
		case !strings.HasPrefix(path, p.Literal):
		case p.Refused != nil:
			// It may or may not match: what it forbids must not be passed by.
			return nil, refuse(p.group.routes[0], StepRoute, mezu.CodeRouteUnavailable, "the route has a regexp that costs more than is allowed")
		case p.TooLong(path):
			return nil, refuse(nil, StepRoute, mezu.CodeURITooLong, pathTooLong)
		case p.Matches(path):
			return p.group, Decision{}
		}
		tr.pass(p.group.routes[0], "the pattern does not match")
	}
	return t.longest(path, tr), Decision{}
}

// longest is the group of the longest prefix of path, nil if there is none.
func (t *Table) longest(path string, tr *trace) *group {
	i := t.prefixes.find(path)
	if i < 0 {
		return nil
	}
	if tr != nil {
		for j := t.prefixes.parent[i]; j >= 0; j = t.prefixes.parent[j] {
			tr.pass(t.prefixes.items[j].routes[0], "a longer prefix matches")
		}
	}
	return t.prefixes.items[i]
}

var pathTooLong = fmt.Sprintf("a path of more than %d bytes can't be matched by the routes with a regexp", mezu.MaxRegexpPath)

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
			if missing, ok := c.meets(r.Carries); !ok {
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

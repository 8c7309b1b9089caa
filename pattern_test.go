package mezu_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// hostile are the patterns of the attack: each of them reads every byte of a path in
// thousands of states at once.
func hostile() []mezu.Route {
	var routes []mezu.Route
	for i := range 16 {
		routes = append(routes, mezu.Route{Regexp: fmt.Sprintf("/.*.{1000}.{1000}.{1000}.{900}x%d", i)})
	}
	return routes
}

// searches are n patterns that begin alike, each of which reads a path to its end.
func searches(n int) []mezu.Route {
	var routes []mezu.Route
	for i := range n {
		routes = append(routes, mezu.Route{Regexp: fmt.Sprintf("/[a-z]*/%04d", i)})
	}
	return routes
}

// TestRow4_PatternsAreBounded: what one request can cost is known when patterns are
// written, and refused with the figure.
func TestRow4_PatternsAreBounded(t *testing.T) {
	err := mezu.ValidateRoutes(t.Context(), "routes", hostile())
	refused(t, "the attack", err, "routes[0].regexp")
	if !strings.Contains(err.Error(), "at most") && !strings.Contains(err.Error(), "131072") {
		t.Errorf("%v names no figure", err)
	}
	one := hostile()[0]
	refused(t, "one of them", one.Validate(), "regexp")

	accepted(t, "100 searches", mezu.ValidateRoutes(t.Context(), "routes", searches(100)))
	err = mezu.ValidateRoutes(t.Context(), "routes", searches(200))
	refused(t, "200 searches", err, "routes[127].regexp")
	if !strings.Contains(err.Error(), fmt.Sprint(mezu.MaxRegexpCost)) {
		t.Errorf("%v does not name the limit", err)
	}
	// Whose beginnings differ are never asked about the same path.
	var apart []mezu.Route
	for i := range 2000 {
		apart = append(apart, mezu.Route{Regexp: fmt.Sprintf("/t%04d/[a-z]*/x", i)})
	}
	accepted(t, "2,000 searches apart", mezu.ValidateRoutes(t.Context(), "routes", apart))
	// A longer literal below many others adds to each of them.
	under := append(searches(127), mezu.Route{Regexp: "/a/.*b"})
	refused(t, "one below", mezu.ValidateRoutes(t.Context(), "routes", under), "routes[127].regexp")

	var exploding []mezu.Route
	for i := range 1000 {
		exploding = append(exploding, mezu.Route{Regexp: fmt.Sprintf("/p%d/.*a.{7}", i)})
	}
	if err := mezu.ValidateRoutes(t.Context(), "routes", exploding); mezu.CodeOf(err) != mezu.CodeInvalid || !strings.Contains(err.Error(), "steps to compile") {
		t.Errorf("1,000 large tables: %v", err)
	}
}

func TestRow4_UsualPatternsPass(t *testing.T) {
	words := strings.Fields("about account admin archive article billing blog cart category checkout comments contact dashboard docs download events faq feed files forum gallery groups help home images invoices jobs legal login logout members messages news orders pages partners payments photos plans press privacy products profile projects reports search settings shop sitemap status store support tags teams terms tickets tour users videos wiki")
	for _, pattern := range []string{
		"/.*", "/[^/]+/.*", `/.*\.(jpg|jpeg|png|gif|svg|css|js|woff2?)`, `/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "/(" + strings.Join(words, "|") + ")(/.*)?",
		`/users/\d+/orders/\d+(/items/\d+)?`, "/(?:v1|v2|v3)/[a-z]+/[^/]+", "/(?i:api)/.*", "/" + strings.Repeat("x", 1000), "/.{1000}", `/\d{4}/\d{2}/\d{2}/[\w-]+`, "/(.*/)?[^/]+\\.php(/.*)?", `/[\pL\d_-]{1,64}`, "^/a$", `/\bword\b.*`,
	} {
		r := mezu.Route{Regexp: pattern}
		accepted(t, pattern, r.Validate())
	}
}

// TestRow4_StoredPatterns: what an earlier build took is named in a remark, and is no
// reason to refuse a change of another route.
func TestRow4_StoredPatterns(t *testing.T) {
	stored := append(hostile()[:2], mezu.Route{Prefix: "/", Name: "root"}, mezu.Route{Regexp: "/fine/.*"})
	warnings := mezu.Warnings(t.Context(), stored)
	if n := len(slices.DeleteFunc(warnings, func(w string) bool { return !strings.Contains(w, "503 route_unavailable") })); n != 2 {
		t.Errorf("%d remarks about closed routes", n)
	}
	accepted(t, "a change of another", mezu.ValidateRouteAmong(t.Context(), "routes", stored, 2))
	accepted(t, "a change of another pattern", mezu.ValidateRouteAmong(t.Context(), "routes", stored, 3))
	refused(t, "a change of itself", mezu.ValidateRouteAmong(t.Context(), "routes", stored, 1), "regexp")

	full := append(searches(127), mezu.Route{Regexp: "/[a-z]*/last"})
	refused(t, "one more", mezu.ValidateRouteAmong(t.Context(), "routes", full, 127), "regexp")
	full[127].Priority = 1 // is tried first, and takes from the last of the others
	refused(t, "one more before the others", mezu.ValidateRouteAmong(t.Context(), "routes", full, 127), "routes[126].regexp")
}

// TestRow4_Order: where all can't be afforded, those that are tried first are.
func TestRow4_Order(t *testing.T) {
	routes := searches(200)
	routes[199].Priority = 1
	patterns, err := mezu.CompilePatterns(t.Context(), "routes", routes)
	if err != nil {
		t.Fatal(err)
	}
	if patterns[0].Source != routes[199].Regexp || patterns[0].Refused != nil {
		t.Errorf("%s is first: %v", patterns[0].Source, patterns[0].Refused)
	}
	for i, p := range patterns {
		if (p.Refused != nil) != (i >= 127) {
			t.Fatalf("pattern %d: %v", i, p.Refused)
		}
	}
}

package layout_test

import (
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

// speaksHTTP are the packages that may serve or ask by net/http, each with what for. What carries
// requests of the public is not among them.
func speaksHTTP() map[string]string {
	api, pages, client := "serves an API", "serves pages", "asks servers"
	return map[string]string{
		"admission":                   "tells which connections of a server wait, for those that serve APIs and pages",
		"api":                         "asks the control plane",
		"bench":                       "compares with it, and asks what is measured",
		"cli/doctor":                  client,
		"cli/invocation":              "adds the token to what api asks",
		"cli/login":                   "serves the page to which a browser comes back after a login",
		"cli/probe":                   client,
		"cli/tunnel/target":           "recognises the media type of a file that is captured",
		"cli/update/source":           "asks for releases",
		"cmd/mezu":                    "serves the demo and the mailbox of mezu dev",
		"cmd/mezusphere":              "serves and asks the desk of a running control plane",
		"daemon/folder":               "serves files as a workload",
		"daemon/page":                 pages,
		"daemon/rest":                 api,
		"daemon/sidecar":              "serves health and metrics",
		"daemon/warpgate":             "asks HTTP proxies for the way to an edge",
		"edgesvc/console":             pages,
		"edgesvc/control":             api,
		"edgesvc/control/controltest": "asks control planes of tests",
		"edgesvc/control/front":       api,
		"edgesvc/control/openapi":     api,
		"edgesvc/control/rest":        api,
		"edgesvc/edge":                "serves health and metrics",
		"edgesvc/edge/hosted":         "reads the cookies of pages that the control plane makes",
		"edgesvc/identity/login":      "knows by its request who asks for a page",
		"edgesvc/identity/oauth":      api,
		"local":                       "asks the local daemon",
	}
}

// namesOfHTTP are what everybody may use of it.
func namesOfHTTP(name string) bool {
	return strings.HasPrefix(name, "Status") || strings.HasPrefix(name, "Method") || name == "TimeFormat" || name == "ParseTime"
}

// TestNetHTTP: net/http serves and asks for APIs and pages. Requests of the public and their
// responses go through code of our own alone, which knows its names of statuses and methods.
func TestNetHTTP(t *testing.T) {
	uses := map[string]bool{} // more than names
	for _, p := range load(t) {
		may := speaksHTTP()[p.dir] != ""
		for _, f := range p.code() {
			for _, i := range f.Imports {
				switch of := strings.Trim(i.Path.Value, `"`); {
				case of == "net/http" && i.Name != nil:
					t.Errorf("%s: net/http goes by its own name, so that it is found", p.at(i))
				case strings.HasPrefix(of, "net/http/") && !may:
					t.Errorf("%s: %s: what carries requests of the public uses names of net/http alone", p.at(i), of)
				}
			}
			for n := range ast.Preorder(f) {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok || namesOfHTTP(sel.Sel.Name) {
					continue
				}
				if of, ok := sel.X.(*ast.Ident); !ok || of.Name != "http" {
					continue
				}
				uses[p.dir] = true
				if !may {
					t.Errorf("%s: http.%s: what carries requests of the public uses names of net/http alone", p.at(n), sel.Sel.Name)
				}
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(speaksHTTP())) {
		if !uses[dir] {
			t.Errorf("%s may speak HTTP by net/http, and doesn't: take it off the list", dir)
		}
	}
}

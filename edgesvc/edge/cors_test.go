package edge_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// routes replaces those of the environment, and waits until the edge has them: the last one answers
// with the status.
func (w *world) routes(path string, status int, routes ...mezu.Route) {
	w.t.Helper()
	controltest.Call[api.RoutesState](w.t, w.op, api.OpReplaceRoutes, api.RoutesReplace{Routes: routes}, w.pool.Path()...)
	b := w.browser()
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	controltest.Eventually(w.t, "the edge to have the routes", func() bool { return b.get(path).StatusCode == status })
}

// Every answer of a route with cors says who may read it, whoever gives it: the workload, the rules,
// or the edge because something failed. A preflight reaches no workload and needs no login.
func TestCORS_OfEveryAnswer(t *testing.T) {
	w := newWorld(t)
	ann := w.browser()
	ann.says(ann.signup("ann@example.com", "/my/"), "user=ann@example.com")
	const origin, evil = "https://app.example.com", "https://evil.example"
	cors := &mezu.CORS{AllowOrigins: []string{origin}, AllowMethods: []string{"PUT"}, AllowHeaders: []string{"Content-Type"}, AllowCredentials: true}
	w.routes("/new", 200,
		mezu.Route{Prefix: "/"}, mezu.Route{Prefix: "/my/", Auth: mezu.AuthRequired, CORS: cors}, mezu.Route{Prefix: "/small/", MaxBody: 4, CORS: cors},
		mezu.Route{Prefix: "/denied/", DenyIPs: []string{"127.0.0.0/8"}, CORS: cors}, mezu.Route{Prefix: "/closed/", AuthMethods: []string{"basic"}, CORS: cors},
		mezu.Route{Prefix: "/gone/", Upstream: "localhost:1", CORS: cors}, mezu.Route{Exact: "/new", CORS: cors},
	)
	for n, http2 := range []bool{false, true} {
		stranger := w.browser().from(n+1, http2)
		user := ann
		if !http2 {
			user = ann.cloneAt(w.edge).from(n+1, false)
		}
		for name, c := range map[string]struct {
			b            *browser
			method, path string
			body, from   string
			status       int
		}{
			"the workload":              {stranger, "GET", "/new", "", origin, 200},
			"a login is missing":        {stranger, "PUT", "/my/x", "", origin, 401},
			"a user's page":             {user, "PUT", "/my/x", "", origin, 200},
			"a user's page of evil":     {user, "PUT", "/my/x", "", evil, 403},
			"a body that is too large":  {stranger, "PUT", "/small/x", "12345", origin, 413},
			"an address":                {stranger, "GET", "/denied/x", "", origin, 403},
			"a closed route":            {stranger, "GET", "/closed/x", "", origin, 503},
			"a workload that is absent": {stranger, "GET", "/gone/x", "", origin, 502},
			"another origin":            {stranger, "GET", "/new", "", evil, 200},
		} {
			a := c.b.send(c.method, c.path, c.body, "Origin", c.from)
			want := c.from
			if c.from == evil {
				want = ""
			}
			if a.StatusCode != c.status || (a.ProtoMajor == 2) != http2 || a.Header.Get("Access-Control-Allow-Origin") != want || !strings.Contains(strings.Join(a.Header.Values("Vary"), ","), "Origin") {
				t.Errorf("%s over %s: %s, %v", name, a.Proto, a.Status, a.Header)
			}
			if want != "" && (a.Header.Get("Access-Control-Allow-Credentials") != "true" || !strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), "RateLimit")) {
				t.Errorf("%s: %v", name, a.Header)
			}
		}
		for name, c := range map[string]struct {
			path, method, from string
			status             int
		}{
			"a preflight":             {"/my/x", "PUT", origin, 204},
			"of evil":                 {"/my/x", "PUT", evil, 403},
			"for another method":      {"/my/x", "DELETE", origin, 403},
			"of an address":           {"/denied/x", "PUT", origin, 403},
			"without cors":            {"/plain", "PUT", origin, 200},
			"for a body that is huge": {"/small/x", "PUT", origin, 204},
		} {
			a := stranger.send("OPTIONS", c.path, "", "Origin", c.from, "Access-Control-Request-Method", c.method, "Access-Control-Request-Headers", "content-type")
			if a.StatusCode != c.status || c.status != 200 && strings.Contains(a.body, "OPTIONS") || c.status == 204 && (a.body != "" || a.Header.Get("Access-Control-Allow-Methods") != "PUT") {
				t.Errorf("%s over %s: %s, %v, %s", name, a.Proto, a.Status, a.Header, a.body)
			}
		}
	}
}

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// rewriteRoutes are the routes of tests of what an edge and a Warpgate rewrite and answer.
func rewriteRoutes() []mezu.Route {
	to := func(r mezu.Route, target string, status int) mezu.Route {
		r.Redirect = &mezu.Redirect{To: target, Status: status}
		return r
	}
	return []mezu.Route{
		{Name: "p", Prefix: "/p/"},
		to(mezu.Route{Name: "old", Prefix: "/old/"}, "/new{path}?{query}", 0),
		to(mezu.Route{Name: "away", Prefix: "/away/"}, "https://www.example.com/{path}?from={path}&{query}", 308),
		to(mezu.Route{Name: "loop", Regexp: "/loop/.*"}, "/loop{path}?{query}", 307),
		{Name: "gone", Prefix: "/gone", Respond: &mezu.Respond{Status: 410, ContentType: "application/json", Body: "{\"gone\":true}\n"}},
		{Name: "nothing", Exact: "/nothing", Respond: &mezu.Respond{Status: 204}},
		{Name: "private", Prefix: "/private/", Auth: mezu.AuthRequired, Respond: &mezu.Respond{Body: "secret"}},
		{Name: "cut", Prefix: "/cut", StripPrefix: "/cut/", EncodedSlashes: true},
		{Name: "admin", Prefix: "/admin", Auth: mezu.AuthRequired},
		{Name: "mine", Prefix: "/mine", AllowIPs: []string{"10.0.0.0/8"}},
		{Name: "x", Prefix: "/x"},
		{Name: "edited", Prefix: "/edited/", StripPrefix: "/edited",
			RequestHeaders:  &mezu.HeaderEdits{Set: map[string]string{"X-Set": "by the route", "Authorization": "Basic eDp5"}, Remove: []string{"X-Removed", "Cookie"}},
			ResponseHeaders: &mezu.HeaderEdits{Set: map[string]string{"X-Frame-Options": "DENY", "X-Gone": "no"}, Remove: []string{"Server", "x-gone"}}},
		to(mezu.Route{Name: "edited-old", Exact: "/edited-old", ResponseHeaders: &mezu.HeaderEdits{Set: map[string]string{"X-Frame-Options": "DENY", "Clear-Site-Data": `"cookies", "cache"`}, Remove: []string{"Location", "Set-Cookie"}}}, "/x", 0),
		{Name: "edited-gone", Exact: "/edited-gone", Respond: &mezu.Respond{Body: "gone"}, ResponseHeaders: &mezu.HeaderEdits{Set: map[string]string{"Content-Type": "text/css", "Cache-Control": "max-age=60"}}},
		{Name: "edited-refused", Exact: "/edited-refused", DenyIPs: []string{"127.0.0.1"}, ResponseHeaders: &mezu.HeaderEdits{Set: map[string]string{"X-Frame-Options": "DENY"}, Remove: []string{"Cache-Control"}}},
		{Name: "small", Prefix: "/small", MaxBody: 10, Respond: &mezu.Respond{Body: "small"}},
	}
}

// TestRewriting sends requests to routes that answer and rewrite, through a real edge, in both
// versions of HTTP. At the end the workload's recording is compared with what should have arrived.
func TestRewriting(t *testing.T) {
	t.Parallel()
	a := newTarget(t, rewriteRoutes()...)
	for _, c := range []struct {
		name string
		run  func(*testing.T, *target)
	}{{"answers", rewriteAnswers}, {"P13 answers leave bodies unread", rewriteP13}, {"strip_prefix", rewriteStrip}, {"R9 behind a prefix", rewriteR9}, {"paths of responses", rewritePaths}, {"edits", rewriteEdits}, {"trailers", rewriteTrailers}, {"H1 H2 H3 with edits", rewriteH1}, {"R15 override", rewriteR15}, {"H10 with edits", rewriteH10}} {
		t.Run(c.name, func(t *testing.T) {
			c.run(t, a)
			a.alive(t)
		})
	}
	a.settle(t)
}

// bothVersions runs a test for each version of HTTP, with a client of it that follows no redirect.
func (a *target) bothVersions(t *testing.T, run func(t *testing.T, ask func(method, path string, fields ...string) *rawAnswer)) {
	t.Helper()
	for name, client := range map[string]*http.Client{"HTTP1": a.http(a.edge), "HTTP2": a.http2(a.edge)} {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		t.Run(name, func(t *testing.T) {
			run(t, func(method, path string, fields ...string) *rawAnswer {
				t.Helper()
				return a.fetch(t, client, method, path, fields...)
			})
		})
	}
}

// fetch sends a request without a body, with fields by name and value.
func (a *target) fetch(t *testing.T, client *http.Client, method, path string, fields ...string) *rawAnswer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+a.host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := &rawAnswer{status: resp.StatusCode, header: resp.Header, body: string(body)}
	if _, code, ok := strings.Cut(got.body, `"code":"`); ok {
		got.code, _, _ = strings.Cut(code, `"`)
	}
	return got
}

func rewriteAnswers(t *testing.T, a *target) {
	a.bothVersions(t, func(t *testing.T, ask func(method, path string, fields ...string) *rawAnswer) {
		for _, c := range []struct {
			method, path string
			status       int
			location     string
			contentType  string
			body         string
			code         mezu.Code
		}{
			{method: "GET", path: "/old/a/b?x=1&y", status: 302, location: "/new/old/a/b?x=1&y"},
			{method: "POST", path: "/old/", status: 302, location: "/new/old/"},
			{method: "GET", path: "/old/a%2e/%7eb%20c", status: 302, location: "/new/old/a./~b%20c"},
			{method: "GET", path: "/old//evil.example/x", status: 302, location: "/new/old/evil.example/x"},
			{method: "GET", path: "/away//evil.example?x=%0d%0aSet-Cookie:a=b", status: 308, location: "https://www.example.com/away/evil.example?from=%2Faway%2Fevil.example&x=%0d%0aSet-Cookie:a=b"},
			{method: "GET", path: "/loop/x?y", status: 503, code: mezu.CodeRouteUnavailable}, {method: "GET", path: "/loop/yy", status: 503, code: mezu.CodeRouteUnavailable},
			{method: "GET", path: "/gone", status: 410, contentType: "application/json", body: "{\"gone\":true}\n"},
			{method: "HEAD", path: "/gone/x", status: 410, contentType: "application/json"},
			{method: "DELETE", path: "/gone/x", status: 410, contentType: "application/json", body: "{\"gone\":true}\n"},
			{method: "GET", path: "/nothing", status: 204},
			{method: "GET", path: "/private/x", status: 401, code: mezu.CodeUnauthenticated},
			{method: "GET", path: "/old/%0d%0aX:y", status: 400, code: mezu.CodeNotCanonical},
		} {
			got := ask(c.method, c.path)
			if got.status != c.status || got.code != string(c.code) || got.header.Get("Location") != c.location || c.code == "" && (got.body != c.body || got.header.Get("Content-Type") != c.contentType) {
				t.Errorf("%s %s: %d %s to %q, %q %q", c.method, c.path, got.status, got.code, got.header.Get("Location"), got.header.Get("Content-Type"), got.body)
			}
			if got.header.Get("X-Request-Id") == "" || got.header.Get("Date") == "" {
				t.Errorf("%s %s: %v", c.method, c.path, got.header)
			}
		}
	})
}

// rewriteP13: an answer of a route leaves a body unread that looks like a request. No second answer
// comes of it.
func rewriteP13(t *testing.T, a *target) {
	smuggled := a.fill("GET /p/smuggled HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: smuggled\r\n\r\n", "")
	for path, status := range map[string]int{"/old/13": 302, "/away/13": 308, "/gone/13": 410, "/nothing": 204, "/loop/x": 503, "/private/13": 401} {
		for _, framing := range []string{
			fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(smuggled), smuggled),
			fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n\r\n%s", len(smuggled), smuggled),
			fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled),
			fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%s", smuggled), // no chunk at all
			fmt.Sprintf("Content-Length: %d\r\n\r\n%s", 1<<20, strings.Repeat(smuggled, 100)),
		} {
			for _, method := range []string{"GET", "POST"} {
				c := a.dial(t)
				c.send(a.fill(head(method, path), "p13") + framing + a.fill("GET /none HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", ""))
				if got := c.must(method); got.status != status || got.early != 0 {
					t.Errorf("%s %s: %d behind %d interim ones", method, path, got.status, got.early)
				}
				if got, err := c.read("GET"); err == nil && got.code != "no_route" && got.code != "not_canonical" {
					t.Errorf("%s %s: the second answer is %d %s", method, path, got.status, got.body)
				}
				c.ended()
			}
		}
		// Over HTTP/2 the stream ends, and the connection goes on.
		c := a.dialHTTP2(t)
		if err := c.headers(1, false, a.request2("POST", path, "p13", "content-length", fmt.Sprint(len(smuggled)))); err != nil {
			t.Fatal(err)
		}
		c.f.WriteData(1, false, []byte(smuggled[:10]))
		if got := c.outcome(1); got != fmt.Sprint(status) {
			t.Errorf("%s over HTTP/2: %s", path, got)
		}
		id := a.newID()
		a.expect(id, delivery{method: "GET", target: "/p/13", route: "p", status: 200})
		c.headers(3, true, a.request2("GET", "/p/13", id))
		if got := c.outcome(3); got != "200" {
			t.Errorf("behind %s over HTTP/2: %s", path, got)
		}
	}
	// A body that says itself that it is too large is refused before.
	for _, length := range []int{10, 11} {
		c := a.dial(t)
		c.send(a.fill(head("POST", "/small"), "p13") + fmt.Sprintf("Content-Length: %d\r\n\r\n", length))
		want := map[int]int{10: 200, 11: 413}[length]
		if got := c.must("POST"); got.status != want {
			t.Errorf("%d bytes: %d", length, got.status)
		}
	}
}

// carried sends a request and checks that the workload gets it as target, by a route.
func (a *target) carried(t *testing.T, ask func(method, path string, fields ...string) *rawAnswer, route, path, target string, fields ...string) (*rawAnswer, *message) {
	t.Helper()
	id := a.newID()
	plain, _, _ := strings.Cut(path, "?")
	if canonical, err := mezu.CanonicalPath(plain); err == nil {
		plain = canonical.Path
	}
	a.expect(id, delivery{method: "GET", target: target, route: route, path: plain, status: 200})
	got := ask("GET", path, append([]string{"X-Request-Id", id}, fields...)...)
	if got.status != 200 {
		t.Fatalf("%s: %d %s", path, got.status, got.body)
	}
	m := a.rec.find(t, id)
	if m.target != target {
		t.Errorf("%s: the workload received %s, not %s", path, m.target, target)
	}
	return got, m
}

func rewriteStrip(t *testing.T, a *target) {
	a.bothVersions(t, func(t *testing.T, ask func(method, path string, fields ...string) *rawAnswer) {
		for _, c := range []struct{ path, target, prefix string }{
			{"/cut", "/", "/cut"}, {"/cut/", "/", "/cut"}, {"/cut/a/b/?q=/cut/", "/a/b/?q=/cut/", "/cut"}, {"/cut//a", "/a", "/cut"}, {"/cut/a%2Fb", "/a%2Fb", "/cut"}, {"/c%75t/a", "/a", "/cut"},
			{"/z/../cut/./a", "/a", "/cut"}, {"/cut/cut/a", "/cut/a", "/cut"}, {"/cut/x?a", "/x?a", "/cut"},
			{"/cutter", "/cutter", ""}, {"/cut%2Fa", "/cut%2Fa", ""}, {"/cut%2e/admin", "/cut./admin", ""},
		} {
			_, m := a.carried(t, ask, "cut", c.path, c.target, "X-Forwarded-Prefix", "/forged")
			if m.get("X-Forwarded-Prefix") != c.prefix || c.prefix == "" && m.count("X-Forwarded-Prefix") > 0 || m.count("X-Forwarded-Prefix") > 1 {
				t.Errorf("%s: X-Forwarded-Prefix is %q", c.path, m.get("X-Forwarded-Prefix"))
			}
		}
	})
}

func rewriteR9(t *testing.T, a *target) {
	a.bothVersions(t, func(t *testing.T, ask func(method, path string, fields ...string) *rawAnswer) {
		for path, code := range map[string]mezu.Code{
			"/cut/admin": mezu.CodeUnauthenticated, "/cut//admin/x": mezu.CodeUnauthenticated, "/cut/./%61dmin": mezu.CodeUnauthenticated, "/cut/x/../admin": mezu.CodeUnauthenticated, "/cut/admin?x": mezu.CodeUnauthenticated,
			"/cut/mine": mezu.CodeForbidden, "/cut/gone": mezu.CodeNoRoute, "/cut/old/x": mezu.CodeNoRoute, "/cut/.mezu/session": mezu.CodeNoRoute, "/cut/.mezu": mezu.CodeNoRoute, "/cut/x%2Fy": mezu.CodeNotCanonical,
			"/cut%2F..%2Fadmin": mezu.CodeNotCanonical,
		} {
			if got := ask("GET", path); got.code != string(code) || got.status != code.Status() {
				t.Errorf("%s: %d %s, not %s", path, got.status, got.code, code)
			}
		}
	})
}

// says has the workload answer a path with fields.
func (a *target) says(path string, fields ...string) {
	a.rec.says(path, "HTTP/1.1 200 OK\r\n"+strings.Join(fields, "\r\n")+"\r\nContent-Length: 2\r\n\r\nok", false)
}

func rewritePaths(t *testing.T, a *target) {
	a.bothVersions(t, func(t *testing.T, ask func(method, path string, fields ...string) *rawAnswer) {
		for in, want := range map[string]string{
			"/": "/cut/", "/a?b#c": "/cut/a?b#c", "/cut": "/cut", "/cut/a": "/cut/a", "/cutter": "/cut/cutter", "/%63ut/a": "/%63ut/a", "/cut/../a": "/cut/cut/../a",
			"https://{host}/a": "https://{host}/cut/a", "https://{HOST}:443/a": "https://{HOST}:443/cut/a", "//{host}/a": "//{host}/cut/a", "http://{host}/a": "http://{host}/cut/a", "https://{host}": "https://{host}/cut/", "https://{host}?a": "https://{host}/cut/?a", "https://{host}/cut/a": "https://{host}/cut/a",
			"https://other.example/a": "https://other.example/a", "//other.example/a": "//other.example/a", "https://{host}.example/a": "https://{host}.example/a", "https://x@{host}/a": "https://x@{host}/a", "mailto:a@b": "mailto:a@b",
			"a/b": "a/b", "../a": "../a", "?x": "?x", "#x": "#x",
		} {
			in, want = strings.ReplaceAll(in, "{HOST}", strings.ToUpper(a.host)), strings.ReplaceAll(want, "{HOST}", strings.ToUpper(a.host))
			a.says("/paths", "Location: "+a.fill(in, ""), "Content-Location: "+a.fill(in, ""))
			got, _ := a.carried(t, ask, "cut", "/cut/paths", "/paths")
			if got.header.Get("Location") != a.fill(want, "") || got.header.Get("Content-Location") != a.fill(want, "") {
				t.Errorf("%s comes as %q and %q, not %s", in, got.header.Get("Location"), got.header.Get("Content-Location"), a.fill(want, ""))
			}
		}
		for in, want := range map[string]string{
			"a=b; Path=/": "a=b; Path=/cut", "a=b;path = /x; Secure": "a=b;path =/cut/x; Secure", "a=b; Path=/cut/x": "a=b; Path=/cut/x", "a=b; Path=/cut": "a=b; Path=/cut", "a=b; Path=/cutter": "a=b; Path=/cut/cutter",
			"a=b": "a=b", "a=b; Path=x": "a=b; Path=x", "a=b; Path": "a=b; Path", "a=/x; HttpOnly": "a=/x; HttpOnly", "__Host-a=b; Secure; Path=/": "__Host-a=b; Secure; Path=/", "a=b; Path=/x; Path=/": "a=b; Path=/cut/x; Path=/cut",
		} {
			a.says("/paths", "Set-Cookie: "+in)
			if got, _ := a.carried(t, ask, "cut", "/cut/paths", "/paths"); got.header.Get("Set-Cookie") != want {
				t.Errorf("%s comes as %q, not %q", in, got.header.Get("Set-Cookie"), want)
			}
		}
		// Where nothing was cut off, everything stays.
		a.says("/cutter", "Location: /a", "Set-Cookie: a=b; Path=/")
		if got, _ := a.carried(t, ask, "cut", "/cutter", "/cutter"); got.header.Get("Location") != "/a" || got.header.Get("Set-Cookie") != "a=b; Path=/" {
			t.Errorf("without a prefix: %v", got.header)
		}
	})
}

func rewriteEdits(t *testing.T, a *target) {
	a.says("/a", "Server: workload", "X-Frame-Options: SAMEORIGIN", "x-frame-options: ALLOWALL", "X-GONE: a", "X-Kept: yes")
	a.bothVersions(t, func(t *testing.T, ask func(method, path string, fields ...string) *rawAnswer) {
		got, m := a.carried(t, ask, "edited", "/edited/a", "/a", "X-Set", "by the client", "x-set", "again", "X_Set", "alike", "X-Removed", "1", "X_Removed", "2", "x.removed", "3", "Cookie", "a=b", "Authorization", "Bearer x", "X-Kept", "yes")
		if m.count("X-Set") != 1 || m.get("X-Set") != "by the route" || m.count("Authorization") != 1 || m.get("Authorization") != "Basic eDp5" || m.count("X-Removed")+m.count("X_Removed")+m.count("x.removed")+m.count("X_Set")+m.count("Cookie") > 0 || m.get("X-Kept") != "yes" {
			t.Errorf("the workload received %v", m)
		}
		if got.header["Server"] != nil || got.header.Get("X-Gone") != "no" || len(got.header["X-Gone"]) != 1 || len(got.header["X-Frame-Options"]) != 1 || got.header.Get("X-Frame-Options") != "DENY" || got.header.Get("X-Kept") != "yes" {
			t.Errorf("the client received %v", got.header)
		}
		for path, want := range map[string]map[string]string{
			"/edited-old": {"X-Frame-Options": "DENY", "Location": "", "Clear-Site-Data": `"cache"`}, "/edited-gone": {"Content-Type": "text/css", "Cache-Control": "max-age=60"}, "/edited-refused": {"X-Frame-Options": "", "Cache-Control": "no-store"},
		} {
			got := ask("GET", path)
			for name, value := range want {
				if got.header.Get(name) != value {
					t.Errorf("%s: %s is %q, not %q", path, name, got.header.Get(name), value)
				}
			}
		}
	})
}

// rewriteTrailers: edits take fields out of trailers, and set none there.
func rewriteTrailers(t *testing.T, a *target) {
	a.rec.says("/trailers", "HTTP/1.1 103 Early Hints\r\nServer: early\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nTrailer: X-Gone, X-Kept\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Gone: late\r\nX-Kept: yes\r\nServer: late\r\n\r\n", false)
	c := a.dial(t)
	id := a.newID()
	a.expect(id, delivery{method: "POST", target: "/trailers", body: "hello", route: "edited", path: "/edited/trailers", status: 200})
	c.send(a.fill(head("POST", "/edited/trailers")+"Trailer: X-Set, X-Kept\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Set: late\r\nX_Removed: late\r\nX-Kept: late\r\n\r\n", id))
	var text strings.Builder
	line := make([]byte, 1)
	for !strings.Contains(text.String(), "\r\n0\r\n") || !strings.HasSuffix(text.String(), "\r\n\r\n") {
		if _, err := c.in.Read(line); err != nil {
			t.Fatalf("%v behind %q", err, text.String())
		}
		text.Write(line)
	}
	early, answer, _ := strings.Cut(text.String(), "HTTP/1.1 200")
	_, trailer, _ := strings.Cut(answer, "\r\n0\r\n")
	if !strings.Contains(early, "Link: </x>") || strings.Contains(early, "Server") || !strings.Contains(trailer, "X-Kept: yes") || strings.Contains(trailer, "late") {
		t.Errorf("the client received %q", text.String())
	}
	if m := a.rec.find(t, id); m.get("X-Set") != "by the route" || m.count("X-Set") != 1 || m.get("Trailer") != "X-Kept" {
		t.Errorf("the workload received %v", m)
	}
	if raw := a.rec.raw(); strings.Contains(raw, "X-Set: late") || strings.Contains(raw, "X_Removed: late") || !strings.Contains(raw, "X-Kept: late") {
		t.Error("the workload's trailers are not edited")
	}
}

// rewriteH1: what a client may not send it may not send to a route with edits either.
func rewriteH1(t *testing.T, a *target) {
	for _, name := range []string{"X-Mezu-User-Id", "X-Forwarded-For", "X-Forwarded-Prefix", "X-Original-Url", "Remote-User"} {
		m := a.acceptedAt(t, head("GET", "/edited/h1")+name+": forged\r\n\r\n", "edited", "/edited/h1", "/h1")
		if strings.Contains(m.String(), "forged") || m.get("X-Forwarded-Prefix") != "/edited" || m.count("X-Forwarded-Prefix") != 1 || m.get("X-Forwarded-For") != "127.0.0.1" {
			t.Errorf("%s: the workload received %v", name, m)
		}
		a.refused(t, head("GET", "/edited/h2")+strings.ReplaceAll(name, "-", "_")+": forged\r\n\r\n", bad)
	}
	m := a.acceptedAt(t, head("GET", "/edited/h3")+"Connection: X-Set, X-Forwarded-Prefix, Authorization, close\r\nX-Set: forged\r\n\r\n", "edited", "/edited/h3", "/h3")
	if m.get("X-Set") != "by the route" || m.get("X-Forwarded-Prefix") != "/edited" || m.get("Authorization") != "Basic eDp5" {
		t.Errorf("the workload received %v", m)
	}
}

// acceptedAt is accepted for a request whose path the Warpgate rewrites to target.
func (a *target) acceptedAt(t *testing.T, raw, route, path, target string) *message {
	t.Helper()
	c := a.dial(t)
	id := a.newID()
	a.expect(id, delivery{method: "GET", target: target, route: route, path: path, status: 200})
	c.send(a.fill(raw, id))
	if got := c.must("GET"); got.status != 200 {
		t.Fatalf("answer to %.200q is %d %s", raw, got.status, got.body)
	}
	m := a.rec.find(t, id)
	if m.target != target {
		t.Errorf("the workload received %v, not %s", m, target)
	}
	return m
}

// rewriteR15: fields that override method or path don't reach the workload, and steer neither the
// choice of the route nor that behind a prefix, nor where a redirect leads.
func rewriteR15(t *testing.T, a *target) {
	a.bothVersions(t, func(t *testing.T, ask func(method, path string, fields ...string) *rawAnswer) {
		for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL"} {
			for _, value := range []string{"/x/15", "DELETE", "/admin"} {
				if _, m := a.carried(t, ask, "cut", "/cut/15", "/15", name, value); m.count(name) > 0 {
					t.Errorf("the workload received %v", m)
				}
				if got := ask("GET", "/cut/admin", name, value); got.status != 401 {
					t.Errorf("%s: %s past the login: %d", name, value, got.status)
				}
				if got := ask("GET", "/old/15", name, value); got.header.Get("Location") != "/new/old/15" {
					t.Errorf("%s: %s redirects to %q", name, value, got.header.Get("Location"))
				}
			}
		}
	})
}

// rewriteH10: neither edits nor prefixes let a workload's response touch what is not its own.
func rewriteH10(t *testing.T, a *target) {
	a.says("/h10", "Set-Cookie: __Host-mezu_session=x; Path=/; Secure", "Set-Cookie: a=b; Domain=localhost; Path=/", "Set-Cookie: kept=b; Path=/", `Clear-Site-Data: "*"`, "X-Request-Id: forged")
	a.bothVersions(t, func(t *testing.T, ask func(method, path string, fields ...string) *rawAnswer) {
		for route, path := range map[string]string{"cut": "/cut/h10", "edited": "/edited/h10"} {
			got, _ := a.carried(t, ask, route, path, "/h10")
			prefix := "/" + route
			if len(got.header["Set-Cookie"]) != 1 || got.header.Get("Set-Cookie") != "kept=b; Path="+prefix || got.header.Get("Clear-Site-Data") != `"cache", "storage"` || strings.Contains(got.header.Get("X-Request-Id"), "forged") {
				t.Errorf("%s: %v", path, got.header)
			}
		}
	})
}

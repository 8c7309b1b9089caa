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
	}{{"answers", rewriteAnswers}, {"P13 answers leave bodies unread", rewriteP13}} {
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

package e2e

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// plight is a request that has no answer to be forwarded.
type plight struct {
	name, host, method, path string
	code                     mezu.Code
}

// TestBadInputEdge: each answer that the edge makes itself has the code of the
// contract, a request id, Retry-After where due, and the form that suits who
// asks.
func TestBadInputEdge(t *testing.T) {
	t.Parallel()
	routes := append(attackRoutes(), mezu.Route{Name: "not-allowed", Prefix: "/not-allowed", Upstream: "127.0.0.1:2"})
	a := &target{world: newWorld(t, 1, routes...), rec: newRecorder(t), books: map[string]delivery{}}
	a.edge = a.edges[0]
	a.routed(t, a.host, "/public/x")
	a.plights(t, plight{"no Warpgate", a.host, "GET", "/public/x", mezu.CodeNoWarpgate}, plight{"no Warpgate for a body", a.host, "POST", "/public/x", mezu.CodeNoWarpgate})
	a.gate = a.addGate("gate", a.rec.addr(), "--json", "--allow-target", "127.0.0.1:1")
	a.rec.on("/p/reset", script{answer: func(conn net.Conn, _ *message) bool {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
		return true
	}})
	a.rec.says("/p/closes", "", true)
	a.rec.says("/p/garbage", "220 mail.example ESMTP\r\n\r\n", false)
	a.rec.says("/p/half", "HTTP/1.1 200 OK\r\nContent-Le", true)
	a.rec.on("/quick/x", script{answer: func(conn net.Conn, _ *message) bool {
		io.Copy(io.Discard, conn) // until the Warpgate gives up
		return false
	}})
	a.plights(t,
		plight{"unknown host", "nobody.localhost", "GET", "/public/x", mezu.CodeUnknownHost},
		plight{"wrong host", "other.localhost", "GET", "/public/x", mezu.CodeWrongHost},
		plight{"no route", a.host, "GET", "/none", mezu.CodeNoRoute},
		plight{"method", a.host, "DELETE", "/get", mezu.CodeMethodNotAllowed},
		plight{"not canonical", a.host, "GET", "/public/%00", mezu.CodeNotCanonical},
		plight{"unauthenticated", a.host, "GET", "/admin", mezu.CodeUnauthenticated},
		plight{"forbidden", a.host, "GET", "/denied", mezu.CodeForbidden},
		plight{"route unavailable", a.host, "GET", "/unenforced", mezu.CodeRouteUnavailable},
		plight{"upstream not allowed", a.host, "GET", "/not-allowed", mezu.CodeUpstreamNotAllowed},
		plight{"workload refuses", a.host, "GET", "/absent", mezu.CodeWorkloadRefused},
		plight{"workload resets", a.host, "POST", "/p/reset", mezu.CodeWorkloadReset},
		plight{"workload resets a GET", a.host, "GET", "/p/reset", mezu.CodeWorkloadReset},
		plight{"workload closes", a.host, "POST", "/p/closes", mezu.CodeWorkloadReset},
		plight{"workload sends half a head", a.host, "POST", "/p/half", mezu.CodeWorkloadReset},
		plight{"workload says garbage", a.host, "GET", "/p/garbage", mezu.CodeWorkloadBadResponse},
		plight{"workload too slow", a.host, "GET", "/quick/x", mezu.CodeWorkloadTimeout},
	)
	a.setEnabled("production", false)
	eventually(t, "the end of the environment", func() error {
		if got := a.problem(t, plight{"", a.host, "GET", "/public/x", ""}, nil); got.status != 503 {
			return errStatus(got.status)
		}
		return nil
	})
	a.plights(t, plight{"disabled", a.host, "GET", "/public/x", mezu.CodeEnvironmentDisabled}, plight{"disabled probe", a.host, "GET", "/.mezu/probe", mezu.CodeEnvironmentDisabled})
	a.setEnabled("production", true)
	eventually(t, "the environment again", func() error {
		if got := a.problem(t, plight{"", a.host, "GET", "/public/x", ""}, nil); got.status != 200 {
			return errStatus(got.status)
		}
		return nil
	})
	if code := a.gate.stop(); code != 0 {
		t.Errorf("the Warpgate ended with %d", code)
	}
	a.plights(t, plight{"no Warpgate any more", a.host, "GET", "/public/x", mezu.CodeNoWarpgate})
}

type errStatus int

func (e errStatus) Error() string { return http.StatusText(int(e)) }

// plights checks each in every form.
func (a *target) plights(t *testing.T, all ...plight) {
	t.Helper()
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) { a.plight(t, p) })
	}
}

// plight asks as a program, as a browser that navigates, as one that fetches, and
// with HEAD.
func (a *target) plight(t *testing.T, p plight) {
	html := map[string]string{"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
	for _, form := range []struct {
		method string
		fields map[string]string
		page   bool
	}{
		{p.method, nil, false},
		{p.method, map[string]string{"Accept": "application/json"}, false},
		{p.method, html, p.method != "DELETE"},
		{p.method, map[string]string{"Accept": html["Accept"], "Sec-Fetch-Mode": "navigate"}, p.method != "DELETE"},
		{p.method, map[string]string{"Accept": html["Accept"], "Sec-Fetch-Mode": "cors"}, false},
		{"HEAD", nil, false},
		{"HEAD", html, true},
	} {
		if form.method == "HEAD" && (p.method != "GET" || p.code == mezu.CodeWorkloadTimeout) {
			continue
		}
		got := a.problem(t, plight{p.name, p.host, form.method, p.path, p.code}, form.fields)
		a.judgeProblem(t, p, form.method, form.page, got)
	}
}

func (a *target) judgeProblem(t *testing.T, p plight, method string, page bool, got *rawAnswer) {
	t.Helper()
	id := got.header.Get("X-Request-Id")
	kind := "application/problem+json"
	if page {
		kind = "text/html; charset=utf-8"
	}
	if got.status != p.code.Status() || got.header.Get("Content-Type") != kind || id == "" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: status %d, %v %s, want %d %s", method, got.status, got.header, got.body, p.code.Status(), p.code)
	}
	if due := got.status == 503 || got.status == 429; due != (got.header.Get("Retry-After") != "") {
		t.Errorf("%s: Retry-After is %q", method, got.header.Get("Retry-After"))
	}
	if allow := got.header.Get("Allow"); (got.status == 405) != (allow != "") {
		t.Errorf("%s: Allow is %q", method, allow)
	}
	if method == "HEAD" {
		if got.body != "" {
			t.Errorf("the answer to HEAD has the body %q", got.body)
		}
		return
	}
	if !strings.Contains(got.body, string(p.code)) || !strings.Contains(got.body, id) {
		t.Errorf("%s: the body names neither code nor id: %s", method, got.body)
	}
	for _, internal := range []string{"127.0.0.1", "dial", "goroutine", ".go:", "tcp"} {
		if strings.Contains(strings.ReplaceAll(got.body, id, ""), internal) {
			t.Errorf("%s: the body shows internals: %s", method, got.body)
		}
	}
	if page {
		return
	}
	var problem struct {
		Title, Code, Detail string
		Status              int
		RequestID           string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(got.body), &problem); err != nil || problem.Status != got.status || problem.Code != string(p.code) || problem.Detail == "" || problem.Title == "" || problem.RequestID != id {
		t.Errorf("%s: problem %+v, %v", method, problem, err)
	}
}

// problem makes one request, on a connection for the host where there is none
// for it.
func (a *target) problem(t *testing.T, p plight, fields map[string]string) *rawAnswer {
	t.Helper()
	name := a.host
	if p.code == mezu.CodeUnknownHost {
		name = p.host
	}
	c := a.dialName(t, name)
	defer c.Close()
	head := p.method + " " + p.path + " HTTP/1.1\r\nHost: " + p.host + "\r\n"
	for k, v := range fields {
		head += k + ": " + v + "\r\n"
	}
	if p.method == "POST" {
		head += "Content-Length: 2\r\n\r\nhi"
	} else {
		head += "\r\n"
	}
	c.send(head)
	return c.must(p.method)
}

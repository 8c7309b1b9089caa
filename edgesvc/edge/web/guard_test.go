package web

import (
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
)

// scriptedGuard says what a test has it say.
type scriptedGuard struct {
	wait    atomic.Int64
	short   atomic.Bool
	scans   atomic.Bool
	refused atomic.Int64
}

func (g *scriptedGuard) Request(netip.Addr, time.Time) (time.Duration, bool) {
	wait := time.Duration(g.wait.Load())
	return wait, wait == 0
}
func (g *scriptedGuard) NoRequest(netip.Addr) bool { return g.short.Load() }
func (g *scriptedGuard) Refused(netip.Addr, time.Time) bool {
	g.refused.Add(1)
	return g.scans.Load()
}

// What the guard says is answered alike over both versions, before anything else is looked at:
// 429 with the true wait, 503, and refusals of which nothing was rendered, whose connection ends.
func TestGuard(t *testing.T) {
	const host = "shop.example.com"
	hosts := &sites{site: &policy.Site{}}
	table, err := policy.Compile(&mezu.Bundle{
		Environment: "env_00000000000000000000000001", Endpoint: "shop", Issued: time.Unix(0, 0), Position: mezu.Position{Epoch: 1, Revision: 1}, Enabled: true,
		Routes: []mezu.Route{{Prefix: "/shop/"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	hosts.site.Set(table)
	g := &scriptedGuard{}
	for version, client := range serveGuarded(t, hosts, host, g) {
		ask := func(path string, status int) (http.Header, problem, bool) {
			t.Helper()
			resp, err := client.Get("https://" + host + path)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			var p problem
			if resp.StatusCode != 204 {
				err = json.Unmarshal(body, &p)
			}
			if resp.Proto != version || resp.StatusCode != status || err != nil || status != 204 && (p.Status != status || resp.Header.Get(mezu.HeaderRequestID) == "") {
				t.Errorf("%s over %s: %s %s, %v", path, resp.Proto, resp.Status, body, err)
			}
			return resp.Header, p, resp.Close
		}
		const allowed = "/.mezu/probe?hop=edge"
		g.wait.Store(int64(2100 * time.Millisecond))
		if h, p, _ := ask(allowed, 429); p.Code != mezu.CodeRateLimited || h.Get("Retry-After") != "3" {
			t.Errorf("%s: %v, %+v", version, h, p)
		}
		g.wait.Store(0)
		g.short.Store(true)
		before := g.refused.Load()
		if h, p, _ := ask(allowed, 503); p.Code != mezu.CodeOverloaded || h.Get("Retry-After") != "1" || g.refused.Load() != before {
			t.Errorf("%s: %v, %+v, %d refusals counted", version, h, p, g.refused.Load()-before)
		}
		g.short.Store(false)
		g.scans.Store(true)
		_, p, closed := ask("/nothing", 404)
		if p.Code != mezu.CodeNoRoute || p.Detail != "" || version == "HTTP/1.1" && !closed {
			t.Errorf("%s: %+v, closed %v", version, p, closed)
		}
		if _, _, closed := ask(allowed, 204); closed {
			t.Errorf("%s: what is allowed ends the connection", version)
		}
		if h, _, _ := ask("/.mezu/session/none", 404); h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %v", version, h)
		}
		g.scans.Store(false)
		if _, p, closed := ask("/nothing", 404); p.Detail == "" || closed {
			t.Errorf("%s: %+v, closed %v", version, p, closed)
		}
	}
}

// A refusal that was rendered before costs a fraction, and is the next client's untouched.
func TestBriefly(t *testing.T) {
	x, _, _ := newExchange(t, t.Context())
	first := x.s.briefly(mezu.CodeNoRoute, "req_1")
	second := x.s.briefly(mezu.CodeNoRoute, "req_2")
	id := func(a *answer) string { return string(a.fields[len(a.fields)-1].Value) }
	if len(first.fields) != len(second.fields) || id(first) != "req_1" || id(second) != "req_2" {
		t.Errorf("%v, %v", first.fields, second.fields)
	}
	x.Request.ID = "req_3"
	refusal := &mezu.Error{Code: mezu.CodeNoRoute, Detail: "none"}
	rendered := testing.AllocsPerRun(100, func() { x.answerTo(refusal) })
	if n := testing.AllocsPerRun(100, func() { x.s.briefly(mezu.CodeNoRoute, "req_3") }); n > 5 || n >= rendered {
		t.Errorf("%v allocations, and %v rendered", n, rendered)
	}
}

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/mezusphere/mezu"
)

// upstreams are one workload in every way in which it can be reached.
type upstreams struct {
	plain, h2c, tls, unix string
}

func newUpstreams(t *testing.T) *upstreams {
	t.Helper()
	plain, h2c := newWorkload(t, false), newWorkload(t, true)
	secure := httptest.NewUnstartedServer(plain.Config.Handler)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	socket := &httptest.Server{Listener: l, Config: &http.Server{Handler: plain.Config.Handler}}
	socket.Start()
	t.Cleanup(socket.Close)
	return &upstreams{plain: plain.addr(), h2c: "h2c://" + h2c.addr(), tls: "https://" + secure.Listener.Addr().String(), unix: "unix:" + path}
}

// visit sends one request of each kind below a path and checks the version that the
// workload was spoken to in.
func visit(t *testing.T, w *world, e *edgeNode, path, proto string) {
	t.Helper()
	base := "https://" + w.host + path
	for name, client := range map[string]*http.Client{"h1": w.http(e), "h2": w.http2(e)} {
		got := getSeen(t, client, "POST", base+"form?q=%2F", strings.NewReader("hello"))
		if got.Proto != proto || got.URI != path+"form?q=%2F" || got.Host != w.host || got.Body != "hello" || got.Header.Get("X-Forwarded-For") != "127.0.0.1" {
			t.Errorf("over %s the workload saw %+v", name, got)
		}
		req, _ := http.NewRequest("GET", base+"x", nil)
		resp := do(t, client, req)
		var again seen
		decode(t, resp, &again)
		if _, named := again.Header["User-Agent"]; again.Method != "GET" || !named {
			t.Errorf("over %s the workload saw %+v", name, again)
		}
	}
}

// TestUpstreams reaches workloads in every way, named by the Warpgate and by
// routes.
func TestUpstreams(t *testing.T) {
	t.Parallel()
	u, other := newUpstreams(t), newWorkload(t, false)
	w := newWorld(t, 1, open)
	e := w.edges[0]
	kinds := []struct{ name, address, proto string }{
		{"plain", u.plain, "HTTP/1.1"}, {"url", "http://" + u.plain, "HTTP/1.1"}, {"h2c", u.h2c, "HTTP/2.0"},
		{"https", u.tls, "HTTP/2.0"}, {"unix", u.unix, "HTTP/1.1"},
	}
	for _, k := range kinds {
		t.Run("own/"+k.name, func(t *testing.T) {
			g := w.addGate("own-"+k.name, k.address)
			visit(t, w, e, "/", k.proto)
			bulk(t, w.http(e), "https://"+w.host, 2<<20)
			if k.name != "h2c" { // there is no Upgrade in HTTP/2
				webSocketEcho(t, w, e)
			}
			if code := g.stop(); code != 0 {
				t.Errorf("the Warpgate ends with %d", code)
			}
		})
	}
	var more []string
	routes := []mezu.Route{open, {Prefix: "/foreign/", Upstream: other.addr()}, {Prefix: "/file/", Upstream: "unix:/etc/passwd"}}
	for _, k := range kinds[1:] {
		more = append(more, "--allow-target", k.address)
		routes = append(routes, mezu.Route{Prefix: "/" + k.name + "/", Upstream: k.address})
	}
	w.setRoutes(routes...)
	w.addGate("all", u.plain, more...)
	for _, k := range kinds[1:] {
		t.Run("route/"+k.name, func(t *testing.T) { visit(t, w, e, "/"+k.name+"/", k.proto) })
	}
	for _, path := range []string{"/foreign/", "/file/"} {
		wantCode(t, w.http(e), "GET", "https://"+w.host+path, nil, mezu.CodeUpstreamNotAllowed)
	}
}

// wantCode sends a request that the edge or the Warpgate must answer with a code.
func wantCode(t *testing.T, client *http.Client, method, url string, body io.Reader, code mezu.Code) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp := do(t, client, req)
	text := readAll(t, resp)
	var problem struct{ Code mezu.Code }
	json.Unmarshal([]byte(text), &problem)
	if resp.StatusCode != code.Status() || problem.Code != code {
		t.Errorf("%s %s gives %d %s, want %d %s", method, url, resp.StatusCode, text, code.Status(), code)
	}
	return resp
}

// TestRoutes has each field of a route that decides what happens to a request
// decide.
func TestRoutes(t *testing.T) {
	t.Parallel()
	main, a, b, c := newTalker(t, false), newWorkload(t, false), newWorkload(t, false), newWorkload(t, false)
	no := false
	w := newWorld(t, 1,
		mezu.Route{Prefix: "/"},
		mezu.Route{Prefix: "/order/", Upstream: a.addr()},
		mezu.Route{Regexp: "/order/[a-z]+", Upstream: b.addr(), Priority: 1},
		mezu.Route{Regexp: "/order/a[a-z]+", Upstream: a.addr(), Priority: 2},
		mezu.Route{Exact: "/order/abc", Upstream: c.addr()},
		mezu.Route{Exact: "/order/abc", Methods: []string{"DELETE", "PATCH"}, Upstream: b.addr()},
		mezu.Route{Prefix: "/verbs/", Methods: []string{"GET", "PUT"}},
		mezu.Route{Prefix: "/version/", Headers: map[string]string{"X-Version": "2"}, Upstream: b.addr()},
		mezu.Route{Prefix: "/version/", Upstream: c.addr()},
		mezu.Route{Prefix: "/named/", HostHeader: "inside.example:81"},
		mezu.Route{Exact: "/swallow", MaxBody: 10 << 10},
		mezu.Route{Exact: "/hold", Timeout: mezu.Duration(300e6)},
		mezu.Route{Exact: "/events", IdleTimeout: mezu.Duration(300e6)},
		mezu.Route{Exact: "/ws", WebSocket: &no},
	)
	w.addGate("gate", main.addr(), "--allow-target", a.addr(), "--allow-target", b.addr(), "--allow-target", c.addr())
	e := w.edges[0]
	base := "https://" + w.host
	whose := func(t *testing.T, client *http.Client, method, path, version string, want *workload) {
		t.Helper()
		before := want.echoes.Load()
		req, _ := http.NewRequest(method, base+path, nil)
		if version != "" {
			req.Header.Set("X-Version", version)
		}
		var got seen
		if decode(t, do(t, client, req), &got); got.URI != path || want.echoes.Load() != before+1 {
			t.Errorf("%s %s came to another workload", method, path)
		}
	}
	for name, client := range map[string]*http.Client{"h1": w.http(e), "h2": w.http2(e)} {
		t.Run(name, func(t *testing.T) {
			whose(t, client, "GET", "/order/abc", "", c)
			whose(t, client, "PATCH", "/order/abc", "", b)
			whose(t, client, "GET", "/order/abcd", "", a)
			whose(t, client, "GET", "/order/xyz", "", b)
			whose(t, client, "GET", "/order/123", "", a)
			whose(t, client, "GET", "/version/x", "", c)
			whose(t, client, "GET", "/version/x", "2", b)
			whose(t, client, "GET", "/version/x", "20", c)
			whose(t, client, "PUT", "/verbs/x", "", main.workload)
			if resp := wantCode(t, client, "POST", base+"/verbs/x", nil, mezu.CodeMethodNotAllowed); resp.Header.Get("Allow") != "GET, PUT" {
				t.Errorf("Allow is %q", resp.Header.Get("Allow"))
			}
			if got := getSeen(t, client, "GET", base+"/named/x", nil); got.Host != "inside.example:81" || got.Header.Get("X-Forwarded-Host") != w.host {
				t.Errorf("the workload saw %+v", got)
			}
			maxBody(t, client, base, main)
			wantCode(t, client, "GET", base+"/hold", nil, mezu.CodeWorkloadTimeout)
			cutWhenSilent(t, client, base)
		})
	}
	t.Run("websocket off", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, resp, err := websocket.Dial(ctx, "wss://"+w.host+"/ws", &websocket.DialOptions{HTTPClient: w.http(e)})
		if err == nil || resp == nil || resp.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("the upgrade gives %v, %v", resp, err)
		}
	})
}

// maxBody: a body within the limit passes, one that announces more never reaches
// the workload, and one that turns out to be more is cut there.
func maxBody(t *testing.T, client *http.Client, base string, tk *talker) {
	t.Helper()
	sent := io.LimitReader(pattern{}, 10<<10)
	resp, err := client.Post(base+"/swallow", "text/plain", sent)
	if err != nil {
		t.Fatal(err)
	}
	if readAll(t, resp); resp.StatusCode != 200 {
		t.Errorf("a body at the limit gives %d", resp.StatusCode)
	}
	<-tk.began
	if err := <-tk.broken; !strings.Contains(err.Error(), "complete after 10239 bytes") {
		t.Errorf("a body at the limit arrives so: %v", err)
	}
	wantCode(t, client, "POST", base+"/swallow", strings.NewReader(strings.Repeat("x", 10<<10+1)), mezu.CodeBodyTooLarge)
	if n := len(tk.began); n != 0 {
		t.Errorf("a body that announced too much came to the workload")
	}
	for range 5 {
		// The second piece comes when the workload has the first.
		out, in := io.Pipe()
		go func() {
			in.Write(make([]byte, 5<<10))
			<-tk.began
			in.Write(make([]byte, 50<<10))
			in.Close()
		}()
		wantCode(t, client, "POST", base+"/swallow", out, mezu.CodeBodyTooLarge)
		out.Close()
		tk.sawBroken(t, "a body over the limit")
	}
}

// cutWhenSilent: a response that stops is cut, and not ended.
func cutWhenSilent(t *testing.T, client *http.Client, base string) {
	t.Helper()
	resp, err := client.Get(base + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); string(body) != "data: first\n\n" || err == nil {
		t.Errorf("a silent response came as %q, %v", body, err)
	}
}

// TestFailover: what one Warpgate's workload refuses another's serves, if the
// route allows another try and nothing of the request is lost by it.
func TestFailover(t *testing.T) {
	t.Parallel()
	wl, none := newWorkload(t, false), 0
	w := newWorld(t, 1, open, mezu.Route{Prefix: "/once/", Retries: &none})
	w.addGate("good", wl.addr())
	bad := w.startGate("bad", freeAddr(t))
	healthy(t, bad.health)
	e := w.edges[0]
	base := "https://" + w.host
	for name, client := range map[string]*http.Client{"h1": w.http(e), "h2": w.http2(e)} {
		// Without another try the requests that the bad one gets fail: it takes
		// part.
		eventually(t, "a request to the bad Warpgate", func() error {
			resp, err := client.Get(base + "/once/x")
			if err != nil {
				t.Fatal(err)
			}
			body := readAll(t, resp)
			if resp.StatusCode == 502 && strings.Contains(body, string(mezu.CodeWorkloadRefused)) {
				return nil
			}
			return fmt.Errorf("status %d %s", resp.StatusCode, body)
		})
		for range 40 {
			if got := getSeen(t, client, "GET", base+"/x", nil); got.URI != "/x" {
				t.Errorf("the workload saw %+v over %s", got, name)
			}
			// A small body goes elsewhere with its request, once: nothing of it reached
			// the first workload.
			if got := getSeen(t, client, "POST", base+"/x", strings.NewReader("small")); got.Method != "POST" || got.Body != "small" {
				t.Errorf("the workload saw %+v over %s", got, name)
			}
		}
	}
}

// connectProxy is an HTTP proxy that knows names which nobody else does.
type connectProxy struct {
	*httptest.Server
	mu    sync.Mutex
	names map[string]string // by the name asked for
	count map[string]int
}

func newConnectProxy(t *testing.T) *connectProxy {
	t.Helper()
	p := &connectProxy{names: map[string]string{}, count: map[string]int{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

// ServeHTTP answers CONNECT with the right password.
func (p *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	target := p.names[r.Host]
	p.count[r.Host]++
	p.mu.Unlock()
	switch {
	case r.Method != "CONNECT" || target == "":
		http.Error(w, "no", http.StatusForbidden)
		return
	case r.Header.Get("Proxy-Authorization") != "Basic dXNlcjpzZWNyZXQ=":
		http.Error(w, "who are you", http.StatusProxyAuthRequired)
		return
	}
	out, err := net.Dial("tcp", target)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer out.Close()
	w.WriteHeader(http.StatusOK)
	in, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer in.Close()
	go func() { defer in.Close(); io.Copy(in, out) }()
	io.Copy(out, in)
}

func (p *connectProxy) connections(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count[name]
}

// TestHTTPSProxy runs a Warpgate that can reach the API and the edge by its proxy
// alone: nobody else knows their names.
func TestHTTPSProxy(t *testing.T) {
	const control, tunnel = "control.test:7443", "edge.test:8443"
	p := newConnectProxy(t)
	t.Setenv("MEZUSPHERE_API_HOSTS", "control.test")
	t.Setenv("MEZUSPHERE_TUNNEL_ADDRESS", tunnel)
	wl := newWorkload(t, false)
	w := newWorld(t, 1, open)
	p.names[control], p.names[tunnel] = w.api, w.edges[0].https
	t.Setenv("HTTPS_PROXY", strings.Replace(p.URL, "http://", "http://user:secret@", 1))
	w.api = control
	w.addGate("gate", wl.addr())
	visit(t, w, w.edges[0], "/", "HTTP/1.1")
	webSocketEcho(t, w, w.edges[0])
	if p.connections(control) == 0 || p.connections(tunnel) < 2 {
		t.Errorf("through the proxy came %d connections to the API and %d to the edge", p.connections(control), p.connections(tunnel))
	}
}

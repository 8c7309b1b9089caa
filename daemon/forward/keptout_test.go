package forward_test

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cookie"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/daemon/forward/guard"
	"github.com/mezusphere/mezu/relay"
)

// guarded makes a world whose workload asks for the password "right" of ada.
func guarded(t *testing.T, upstream string) *world {
	t.Helper()
	salt := []byte("0123456789abcdef")
	hash, err := pbkdf2.Key(sha256.New, "right", salt, 1000, 32)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, upstream)
	w.f.Retarget(forward.Targets{Upstream: parse(t, upstream), Guard: guard.New(mezu.TunnelPassword{User: "ada", Salt: salt, Hash: hash, Iterations: 1000}, nil)})
	return w
}

func credentials(user, text string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+text))
}

// Who gives no password or a wrong one is asked, by whatever they can read, and reaches
// nothing. The connection goes on.
func TestGuard_Asks(t *testing.T) {
	wl := tcpWorkload(t)
	w := guarded(t, wl.addr())
	e := w.connect(false)
	for _, raw := range []string{
		newGet,
		getOf("/", credentials("ada", "wrong")),
		getOf("/", "Accept: text/html,*/*"),
		"HEAD / HTTP/1.1\r\nHost: app.example\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		getOf("/", "Cookie: a=b; "+cookie.Tunnel+"="+strings.Repeat("A", cookie.TunnelLength)),
		upgrade,
	} {
		e.ask(raw)
		method, _, _ := strings.Cut(raw, " ")
		resp := e.response(method)
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != `Basic realm="tunnel", charset="UTF-8"` || resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%q: %v %v %v", raw, resp.Status, resp.Header, err)
		}
		page := strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html")
		if page != strings.Contains(raw, "text/html") || method != "HEAD" && !strings.Contains(string(body), string(mezu.CodeUnauthenticated)) {
			t.Errorf("%q: %s", raw, body)
		}
		if event := receive(t, w.events, "event"); event.Code != mezu.CodeUnauthenticated || event.Status != 401 {
			t.Errorf("event %+v", event)
		}
		e.goesOn()
	}
	wl.quiet()
}

// The eleventh wrong password of an address within a minute has to wait.
func TestGuard_BoundsGuesses(t *testing.T) {
	wl := tcpWorkload(t)
	w := guarded(t, wl.addr())
	e := w.connect(false)
	for i := range 11 {
		e.ask(getOf("/", credentials("ada", "wrong")))
		resp := e.response("GET")
		io.Copy(io.Discard, resp.Body)
		if want := map[bool]int{false: 401, true: 429}[i == 10]; resp.StatusCode != want || (resp.Header.Get("Retry-After") != "") != (want == 429) {
			t.Fatalf("guess %d: %s %v", i, resp.Status, resp.Header)
		}
	}
	e.ask(getOf("/", credentials("ada", "right")))
	if resp := e.response("GET"); resp.StatusCode != 429 {
		t.Error(resp.Status)
	}
	wl.quiet()
}

// Neither the password nor the cookie reaches the workload, and the workload can't set the
// cookie. With the cookie, pages may send an Authorization of their own.
func TestGuard_KeepsItsSecrets(t *testing.T) {
	for name, start := range map[string]func(testing.TB, http.HandlerFunc) string{
		"http":  func(t testing.TB, h http.HandlerFunc) string { return plainServer(t, h) },
		"h2c":   h2cWorkload,
		"https": func(t testing.TB, h http.HandlerFunc) string { return httpsWorkload(t, false, h) },
	} {
		t.Run(name, func(t *testing.T) {
			seen := make(chan http.Header, 1)
			w := guarded(t, start(t, func(rw http.ResponseWriter, r *http.Request) {
				seen <- r.Header
				rw.Header().Add("Set-Cookie", string(cookie.SetTunnel(strings.Repeat("A", cookie.TunnelLength))))
				rw.Header().Add("Set-Cookie", "theirs=1")
			}))
			e := w.connect(false)
			e.ask(getOf("/", credentials("ada", "right"), "Cookie: theirs=2"))
			resp := e.reads("GET", 200, "")
			set := resp.Header.Values("Set-Cookie")
			if len(set) != 2 || set[0] != "theirs=1" || !strings.HasPrefix(set[1], cookie.Tunnel+"=") || strings.Contains(set[1], "AAAA") || resp.Header.Get("Cache-Control") != "private" {
				t.Fatalf("%v", resp.Header)
			}
			if h := receive(t, seen, "request"); h.Get("Authorization") != "" || h.Get("Cookie") != "theirs=2" {
				t.Errorf("the workload gets %v", h)
			}
			ours, _, _ := strings.Cut(set[1], ";")
			for _, c := range []struct{ sent, got string }{{"", ""}, {"Authorization: Bearer app", "Bearer app"}, {credentials("ada", "right"), ""}, {credentials("app", "own"), strings.TrimPrefix(credentials("app", "own"), "Authorization: ")}} {
				lines := []string{"Cookie: theirs=2", "Cookie: " + ours}
				if c.sent != "" {
					lines = append(lines, c.sent)
				}
				e.ask(getOf("/", lines...))
				if set := e.reads("GET", 200, "").Header.Values("Set-Cookie"); len(set) != 1 || set[0] != "theirs=1" {
					t.Errorf("sets %q", set)
				}
				if h := receive(t, seen, "request"); h.Get("Authorization") != c.got || h.Get("Cookie") != "theirs=2" {
					t.Errorf("%q: the workload gets %v", c.sent, h)
				}
			}
		})
	}
}

// A workload that answers OPTIONS as it does GET tells nothing to whoever writes a request as
// browsers write a preflight, beyond what that is about. With the password it tells all.
func TestAttackReadByPreflight(t *testing.T) {
	const ask = "OPTIONS /secret HTTP/1.1\r\nHost: app.example\r\nOrigin: https://x.example\r\nAccess-Control-Request-Method: GET\r\n"
	for name, start := range map[string]func(testing.TB, http.HandlerFunc) string{
		"http":  func(t testing.TB, h http.HandlerFunc) string { return plainServer(t, h) },
		"h2c":   h2cWorkload,
		"https": func(t testing.TB, h http.HandlerFunc) string { return httpsWorkload(t, false, h) },
	} {
		t.Run(name, func(t *testing.T) {
			w := guarded(t, start(t, func(rw http.ResponseWriter, r *http.Request) {
				h := rw.Header()
				h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
				h.Set("Vary", "Origin")
				h.Set("Set-Cookie", "session=secret")
				h.Set("X-Debug", "secret")
				h.Set("Trailer", "X-End")
				if r.URL.Query().Get("early") != "" {
					rw.WriteHeader(http.StatusEarlyHints)
				}
				if r.URL.Query().Get("empty") != "" {
					rw.WriteHeader(http.StatusNoContent)
					return
				}
				io.WriteString(rw, strings.Repeat("secret", 10_000))
				h.Set("X-End", "secret")
			}))
			e := w.connect(false)
			for _, path := range []string{"", "?empty=1", "?early=1"} {
				e.ask(strings.Replace(ask, "/secret", "/secret"+path, 1) + "\r\n")
				resp := e.response("OPTIONS")
				body, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode/100 != 2 || len(body) > 0 || resp.ContentLength > 0 || resp.Header.Get("Access-Control-Allow-Origin") != "https://x.example" || resp.Header.Get("Vary") != "Origin" {
					t.Errorf("%s %v %.20q %v", resp.Status, resp.Header, body, err)
				}
				for name, values := range resp.Header {
					if strings.Contains(strings.Join(values, ""), "secret") {
						t.Errorf("%s: %s", name, values)
					}
				}
				if len(resp.Trailer) > 0 {
					t.Errorf("trailer %v", resp.Trailer)
				}
				e.goesOn()
			}
			e.ask(getOf("/", credentials("ada", "right")))
			resp := e.response("GET")
			io.Copy(io.Discard, resp.Body)
			ours, _, _ := strings.Cut(resp.Header.Values("Set-Cookie")[1], ";")
			e.ask(ask + "Cookie: " + ours + "\r\n\r\n")
			if resp := e.response("OPTIONS"); resp.Header.Get("X-Debug") != "secret" {
				t.Errorf("with the cookie: %v", resp.Header)
			}
		})
	}
}

// An answer to a preflight that does not end is cut.
func TestAttackPreflightWithoutEnd(t *testing.T) {
	wl := tcpWorkload(t)
	e := guarded(t, wl.addr()).connect(false)
	e.ask("OPTIONS / HTTP/1.1\r\nHost: app.example\r\nOrigin: https://x.example\r\nAccess-Control-Request-Method: GET\r\n\r\n")
	s := wl.conn()
	s.request()
	s.answer("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", 2*relay.MaxDrain))
	if body, err := io.ReadAll(e.response("OPTIONS").Body); err == nil || len(body) > 0 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	s.dropped()
}

// Without a guard the cookie of a tunnel reaches no workload either.
func TestTunnelCookieReachesNoWorkload(t *testing.T) {
	wl := tcpWorkload(t)
	e := newWorld(t, wl.addr()).connect(false)
	e.ask(getOf("/", "Cookie: "+cookie.Tunnel+"="+strings.Repeat("A", cookie.TunnelLength)+"; a=b"))
	s := wl.conn()
	if head := s.head(); strings.Contains(head, "mezu_tunnel") || !strings.Contains(head, "Cookie: a=b\r\n") {
		t.Errorf("the workload gets %q", head)
	}
	s.answer("HTTP/1.1 200 OK\r\nSet-Cookie: " + string(cookie.SetTunnel(strings.Repeat("A", cookie.TunnelLength))) + "\r\nContent-Length: 0\r\n\r\n")
	if set := e.reads("GET", 200, "").Header.Get("Set-Cookie"); set != "" {
		t.Errorf("it sets %q", set)
	}
}

package forward_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
)

// With HostTarget a workload gets what a browser on this machine would send. Only what names
// the visitor's own origin changes.
func TestHostTarget(t *testing.T) {
	for name, start := range map[string]func(testing.TB, http.HandlerFunc) string{
		"http":  func(t testing.TB, h http.HandlerFunc) string { return plainServer(t, h) },
		"h2c":   h2cWorkload,
		"https": func(t testing.TB, h http.HandlerFunc) string { return httpsWorkload(t, false, h) },
	} {
		t.Run(name, func(t *testing.T) {
			seen := make(chan *http.Request, 1)
			target := start(t, func(rw http.ResponseWriter, r *http.Request) {
				seen <- r
				rw.Header().Set("Location", r.URL.Query().Get("to"))
				rw.WriteHeader(http.StatusFound)
			})
			w := newWorld(t, target)
			w.f.Retarget(forward.Targets{Upstream: parse(t, target), HostHeader: mezu.HostTarget})
			proto := map[bool]string{true: "https", false: "http"}[name == "https"]
			host := parse(t, target).Address
			local := proto + "://" + host
			e := w.connect(false)
			for _, c := range []struct{ origin, referer, wantOrigin, wantReferer string }{
				{"https://app.example", "https://app.example/a?b", local, local + "/a?b"},
				{"https://APP.example", "https://app.example", local, local},
				{"https://app.example:444", "https://app.example:444/", "https://app.example:444", "https://app.example:444/"},
				{"https://app.example.evil", "https://app.example@evil/", "https://app.example.evil", "https://app.example@evil/"},
				{"http://app.example", "http://app.example/", "http://app.example", "http://app.example/"},
				{"https://evil.example", "https://evil.example/?https://app.example/", "https://evil.example", "https://evil.example/?https://app.example/"},
				{"null", "", "null", ""},
			} {
				e.ask(getOf("/?to=/x", "Origin: "+c.origin, "Referer: "+c.referer))
				e.reads("GET", 302, "")
				r := receive(t, seen, "request")
				if r.Host != host || r.Header.Get("X-Forwarded-Host") != host || r.Header.Get("X-Forwarded-Proto") != proto || r.Header.Get("X-Forwarded-For") != client.String() || r.Header.Get("Origin") != c.wantOrigin || r.Header.Get("Referer") != c.wantReferer {
					t.Errorf("%+v: %s %v", c, r.Host, r.Header)
				}
			}
			for to, want := range map[string]string{
				local: "https://app.example", local + "/a?b#c": "https://app.example/a?b#c", "/a": "/a",
				local + "1/": local + "1/", "https://elsewhere.example/": "https://elsewhere.example/",
			} {
				e.ask(getOf("/?to=" + strings.NewReplacer("#", "%23", "?", "%3F").Replace(to)))
				if got := e.reads("GET", 302, "").Header.Get("Location"); got != want {
					t.Errorf("%s becomes %s", to, got)
				}
				receive(t, seen, "request")
			}
			// The route's own comes first, and leaves the rest alone.
			e.ask(getOf("/inner/?to="+local, "Origin: https://app.example"))
			if to := e.reads("GET", 302, "").Header.Get("Location"); to != local {
				t.Errorf("Location: %s", to)
			}
			if r := receive(t, seen, "request"); r.Host != "inner.example" || r.Header.Get("Origin") != "https://app.example" || r.Header.Get("X-Forwarded-Host") != "app.example" {
				t.Errorf("%s %v", r.Host, r.Header)
			}
		})
	}
}

// A name of somebody's choice is the Host alone; HostKeep is the visitor's.
func TestHostHeader_OfTargets(t *testing.T) {
	seen := make(chan *http.Request, 1)
	target := plainServer(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r })
	w := newWorld(t, target)
	for header, want := range map[string]string{"": "app.example", mezu.HostKeep: "app.example", "shop.test:8080": "shop.test:8080"} {
		w.f.Retarget(forward.Targets{Upstream: parse(t, target), HostHeader: header})
		e := w.connect(false)
		e.ask(getOf("/", "Origin: https://app.example"))
		e.reads("GET", 200, "")
		if r := receive(t, seen, "request"); r.Host != want || r.Header.Get("Origin") != "https://app.example" || r.Header.Get("X-Forwarded-Host") != "app.example" || r.Header.Get("X-Forwarded-Proto") != "https" {
			t.Errorf("%q: %s %v", header, r.Host, r.Header)
		}
	}
}

func TestLocalOrigin(t *testing.T) {
	for target, want := range map[string]string{
		"5173": "http://localhost:5173", "http://localhost": "http://localhost", "https://localhost": "https://localhost", "https://localhost:80": "https://localhost:80",
		"127.0.0.1:443": "http://127.0.0.1:443", "[::1]:80": "http://[::1]", "[::1]:81": "http://[::1]:81", "[fe80::1%eth0]:81": "http://[fe80::1]:81",
		"h2c://app:9000": "http://app:9000", "unix:/run/app.sock": "http://localhost",
	} {
		if got := forward.LocalOrigin(parse(t, target)); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}

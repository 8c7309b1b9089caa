package e2e

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cookie"
	"github.com/mezusphere/mezu/daemon/forward/guard"
	"github.com/mezusphere/mezu/daemon/warpgate"
)

// TestTunnelPassword: the password of a tunnel is asked for by its Warpgate through a real
// edge, in both versions of HTTP. The cookie that comes of it passes the edge both ways, and
// stops at the Warpgate.
func TestTunnelPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, open)
	e := w.edges[0]
	forged := string(cookie.SetTunnel(strings.Repeat("A", cookie.TunnelLength)))
	wl := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Add("Set-Cookie", forged)
		rw.Header().Add("Set-Cookie", "theirs=1")
		json.NewEncoder(rw).Encode(r.Header)
	}))
	defer wl.Close()
	upstream, err := mezu.ParseUpstream(wl.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	who := mezu.TunnelPassword{User: "ada", Salt: []byte("0123456789abcdef"), Iterations: 100_000}
	if who.Hash, err = pbkdf2.Key(sha256.New, "right", who.Salt, who.Iterations, 32); err != nil {
		t.Fatal(err)
	}
	g, err := warpgate.New(warpgate.Config{API: "https://" + w.api, CAFile: w.caFile(), Token: func() (string, error) { return w.key, nil }, StateDir: filepath.Join(t.TempDir(), "gate"),
		Targets: &warpgate.Targets{Upstream: upstream, Guard: guard.New(who, nil)}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	w.reachable(e)

	for version, client := range map[string]*http.Client{"HTTP/1.1": w.http(e), "HTTP/2": w.http2(e)} {
		ask := func(change func(*http.Request)) (*http.Response, http.Header) {
			t.Helper()
			r, err := http.NewRequest("GET", "https://"+w.host+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Cookie", "theirs=2")
			change(r)
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			var got http.Header
			if resp.StatusCode == 200 {
				if err := json.Unmarshal(text, &got); err != nil {
					t.Fatal(err)
				}
			}
			return resp, got
		}
		for name, change := range map[string]func(*http.Request){
			"nothing":          func(*http.Request) {},
			"a wrong password": func(r *http.Request) { r.SetBasicAuth("ada", "wrong") },
			"a forged cookie":  func(r *http.Request) { r.Header.Set("Cookie", strings.Split(forged, ";")[0]) },
		} {
			if resp, _ := ask(change); resp.StatusCode != 401 || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic ") || len(resp.Cookies()) != 0 {
				t.Errorf("%s, %s: %s %v", version, name, resp.Status, resp.Header)
			}
		}
		resp, got := ask(func(r *http.Request) { r.SetBasicAuth("ada", "right") })
		set := map[string]string{}
		for _, c := range resp.Cookies() {
			set[c.Name] = c.Value
		}
		if resp.StatusCode != 200 || len(set) != 2 || set["theirs"] != "1" || len(set[cookie.Tunnel]) != cookie.TunnelLength || strings.Contains(set[cookie.Tunnel], "AAAA") {
			t.Fatalf("%s: %s %v", version, resp.Status, resp.Header)
		}
		if got.Get("Authorization") != "" || got.Get("Cookie") != "theirs=2" {
			t.Errorf("%s: the workload gets %v", version, got)
		}
		resp, got = ask(func(r *http.Request) {
			r.Header.Set("Cookie", "theirs=2; "+cookie.Tunnel+"="+set[cookie.Tunnel])
			r.Header.Set("Authorization", "Bearer of-the-page")
		})
		if resp.StatusCode != 200 || len(resp.Cookies()) != 1 || got.Get("Authorization") != "Bearer of-the-page" || got.Get("Cookie") != "theirs=2" {
			t.Errorf("%s, with the cookie: %s %v; the workload gets %v", version, resp.Status, resp.Header, got)
		}
	}
	// A whole session of a browser, by its own rules for cookies.
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := w.http2(e)
	client.Jar = jar
	site := &url.URL{Scheme: "https", Host: w.host, Path: "/"}
	for i, withPassword := range []bool{true, false, false} {
		r, _ := http.NewRequest("GET", site.String(), nil)
		if withPassword {
			r.SetBasicAuth("ada", "right")
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("request %d: %s", i, resp.Status)
		}
	}
	if n := len(jar.Cookies(site)); n != 2 {
		t.Errorf("the browser has %d cookies", n)
	}
}

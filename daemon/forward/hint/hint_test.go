package hint_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward/hint"
)

const host = "shop-dev-ada-acme.edge.example.com"

func parse(t testing.TB, s string) mezu.Upstream {
	t.Helper()
	u, err := mezu.ParseUpstream(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// watch makes a Watcher and gives what it says.
func watch(t testing.TB, target string, change func(*hint.Config)) (*hint.Watcher, *[]hint.Hint) {
	t.Helper()
	var said []hint.Hint
	c := hint.Config{Target: parse(t, target), Say: func(h hint.Hint) { said = append(said, h) }}
	if change != nil {
		change(&c)
	}
	return hint.New(c), &said
}

// show writes a hint as commands do.
func show(h hint.Hint) string {
	return h.Framework + "|" + h.Message + "|" + strings.Join(h.Fixes, ", or ")
}

// answer reads a recorded answer.
func answer(t testing.TB, name string) (*http.Response, []byte) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	resp, err := http.ReadResponse(bufio.NewReader(f), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

// Each framework's answer is recognised by its beginning, and both fixes are said.
func TestFrameworks(t *testing.T) {
	const rewrite = "mezu tunnel 5173 --host-header target, or "
	const check = " refuses the name " + host + " (its Host check)|"
	for name, c := range map[string]struct{ path, want string }{
		"vite-8.4.0.http": {"/", "Vite|Vite" + check + rewrite + "in vite.config:\nserver: { allowedHosts: ['.edge.example.com'] }"},
		"webpack-dev-server-5.2.7.http": {"/", "webpack-dev-server|webpack-dev-server" + check + rewrite +
			"in webpack.config.js (Angular: angular.json, under serve):\ndevServer: { allowedHosts: ['.edge.example.com'] }"},
		"webpack-dev-server-4.15.2.http": {"/", "webpack-dev-server|webpack-dev-server" + check + rewrite +
			"in webpack.config.js (Angular: angular.json, under serve):\ndevServer: { allowedHosts: ['.edge.example.com'] }"},
		"angular-20.http": {"/", "Angular|Angular" + check + rewrite + `in angular.json, under serve:` + "\n" + `"options": { "allowedHosts": [".edge.example.com"] }`},
		"next-16.4.6.http": {"/_next/static/chunks/x.js", "Next|Next refuses its development files to https://" + host + " (allowedDevOrigins)|" + rewrite +
			"in next.config:\nallowedDevOrigins: ['*.edge.example.com']"},
		"rails-6.http":       {"/", "Rails|Rails" + check + rewrite + "in config/environments/development.rb:\nconfig.hosts << \".edge.example.com\""},
		"rails-8-text.http":  {"/", "Rails|Rails" + check + rewrite + "in config/environments/development.rb:\nconfig.hosts << \".edge.example.com\""},
		"django-5.http":      {"/", "Django|Django" + check + rewrite + "in settings.py:\nALLOWED_HOSTS = ['.edge.example.com', 'localhost', '127.0.0.1']"},
		"django-5-text.http": {"/", "Django|Django" + check + rewrite + "in settings.py:\nALLOWED_HOSTS = ['.edge.example.com', 'localhost', '127.0.0.1']"},
		"django-5-origin.http": {"/", "Django|Django refuses forms of https://" + host + " (its CSRF check)|" + rewrite +
			"in settings.py:\nCSRF_TRUSTED_ORIGINS = ['https://*.edge.example.com']"},
		"laravel-12.http": {"/", "Laravel|Laravel" + check + rewrite + "in bootstrap/app.php, in withMiddleware:\n" + `$middleware->trustHosts(at: ['\.edge\.example\.com$']);`},
		"symfony-7.http": {"/", "Symfony|Symfony" + check + rewrite + "in config/packages/framework.yaml (Laravel: trustHosts in bootstrap/app.php):\n" +
			`framework: { trusted_hosts: ['\.edge\.example\.com$', '^localhost$'] }`},
		"nginx-1.22.1.http": {"/", "|what listens at localhost:5173 speaks TLS|mezu tunnel https://localhost:5173"},
		"go-1.26.http":      {"/", "|what listens at localhost:5173 speaks TLS|mezu tunnel https://localhost:5173"},
		"apache-2.4.http":   {"/", "|what listens at localhost:5173 speaks TLS|mezu tunnel https://localhost:5173"},
	} {
		w, said := watch(t, "5173", nil)
		resp, body := answer(t, name)
		if !w.Suspects(resp.StatusCode, resp.ContentLength) || !hint.Looks(resp.Header.Get("Content-Type"), resp.Header.Get("Content-Encoding")) {
			t.Errorf("%s is not looked at", name)
		}
		for range 2 { // said once
			w.Answer(resp.StatusCode, host, c.path, body[:min(len(body), hint.MaxLook)])
		}
		if len(*said) != 1 || show((*said)[0]) != c.want {
			t.Errorf("%s: %d hints, %q, want\n%q", name, len(*said), *said, c.want)
		}
		// With the target's host one fix is in use already.
		w, said = watch(t, "5173", func(c *hint.Config) { c.HostHeader = mezu.HostTarget })
		w.Answer(resp.StatusCode, host, c.path, body)
		if len(*said) != 1 || strings.Contains(show((*said)[0]), "--host-header") {
			t.Errorf("%s with the target's host: %q", name, *said)
		}
	}
}

// What an application says of itself is no framework's refusal.
func TestNoHint(t *testing.T) {
	for _, c := range []struct {
		status     int
		path, text string
	}{
		{403, "/", "Unauthorized"},
		{401, "/_next/x", "Unauthorized"},
		{200, "/", "Blocked request. This host is not allowed."},
		{404, "/", "Blocked request. This host is not allowed."},
		{403, "/", "Invalid Host header, says the documentation of webpack-dev-server"},
		{403, "/", "<h1>Forbidden</h1>"},
		{403, "/", ""},
		{400, "/", "Bad Request"},
		{500, "/", "DisallowedHost"},
	} {
		w, said := watch(t, "5173", nil)
		w.Answer(c.status, host, c.path, []byte(c.text))
		if len(*said) != 0 {
			t.Errorf("%+v: %q", c, *said)
		}
	}
}

// Only refusals are looked at, as text, and no more once everything was said.
func TestLooks(t *testing.T) {
	w, said := watch(t, "5173", nil)
	for _, c := range []struct {
		status         int
		length         int64
		kind, encoding string
		want           bool
	}{
		{200, 0, "text/html", "", false}, {200, 19, "text/html", "", true}, {304, 19, "", "", false}, {403, 0, "", "", true}, {403, 7, "Text/HTML; charset=x", "", true}, {403, 0, "text/html", "br", false},
		{500, 0, "application/json", "", true}, {500, 0, "image/png", "", false}, {403, 0, "application/octet-stream", "", false}, {502, 0, "text/event-stream", "", true},
	} {
		if got := w.Suspects(c.status, c.length) && hint.Looks(c.kind, c.encoding); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
	for _, name := range []string{"vite-8.4.0.http", "django-5-origin.http", "nginx-1.22.1.http"} {
		resp, body := answer(t, name)
		w.Answer(resp.StatusCode, host, "/", body)
	}
	if len(*said) != 3 || w.Suspects(403, 0) {
		t.Errorf("looks after %q", *said)
	}
}

// What is above a name of two labels belongs to others.
func TestDomains(t *testing.T) {
	for name, want := range map[string]string{
		"app.example":             "['.app.example']",
		"app.example.com":         "['.example.com']",
		"shop-dev-acme.localhost": "['.localhost']",
		"host":                    "['.host']",
	} {
		w, said := watch(t, "5173", nil)
		w.Answer(403, name, "/", []byte("Invalid Host header"))
		if got := (*said)[0].Fixes[1]; !strings.Contains(got, want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	w, said := watch(t, "5173", nil)
	w.Upgrade("app.example", "/_next/webpack-hmr")
	w.Upgrade("app.example", "/_next/webpack-hmr")
	if len(*said) != 1 || (*said)[0].Fixes[1] != "in next.config:\nallowedDevOrigins: ['app.example']" {
		t.Errorf("%q", *said)
	}
}

// What is no answer is said as well.
func TestConnections(t *testing.T) {
	for _, c := range []struct {
		target    string
		contained bool
		do        func(*hint.Watcher)
		want      string
	}{
		{"8443", false, (*hint.Watcher).TLS, "|what listens at localhost:8443 speaks TLS|mezu tunnel https://localhost:8443"},
		{"unix:/run/app.sock", false, (*hint.Watcher).TLS, "|what listens at unix:/run/app.sock speaks TLS|have it speak HTTP there, or listen at a port"},
		{"https://localhost:8080", false, (*hint.Watcher).Plain, "|what listens at localhost:8080 speaks no TLS|mezu tunnel 8080"},
		{"https://app:8080", false, (*hint.Watcher).Plain, "|what listens at app:8080 speaks no TLS|mezu tunnel app:8080"},
		{"https://app", false, func(w *hint.Watcher) { w.Distrusted(errors.New("x509: it ended")) }, "|the certificate of app:443 is not trusted: it ended|mezu tunnel https://app:443 --upstream-ca FILE, with its CA in PEM, or mezu tunnel https://app:443 --insecure-upstream, which checks nothing"},
		{"5173", false, (*hint.Watcher).Refuses, "|nothing answers at localhost:5173|"},
		{"5173", false, func(w *hint.Watcher) { w.Worked(); w.Refuses() }, "|nothing answers at localhost:5173 any more|"},
		{"5173", true, (*hint.Watcher).Refuses, "|nothing answers at localhost:5173, which is this container itself|mezu tunnel host.docker.internal:5173, for the machine that it runs on"},
		{"5173", true, func(w *hint.Watcher) { w.Worked(); w.Refuses() }, "|nothing answers at localhost:5173 any more|"},
		{"app:5173", true, (*hint.Watcher).Refuses, "|nothing answers at app:5173|"},
		{"unix:/run/app.sock", true, (*hint.Watcher).Refuses, "|nothing answers at unix:/run/app.sock|"},
	} {
		w, said := watch(t, c.target, func(cfg *hint.Config) { cfg.Contained = c.contained })
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() { c.do(w) })
		}
		callers.Wait()
		if len(*said) != 1 || show((*said)[0]) != c.want {
			t.Errorf("%s: %q, want %s", c.target, *said, c.want)
		}
	}
}

// A certificate may name as many hosts as it likes; a person is not shown them all.
func TestAttackLongCertificate(t *testing.T) {
	w, said := watch(t, "https://app", nil)
	w.Distrusted(errors.New("x509: certificate is valid for " + strings.Repeat("ü.example, ", 10_000)))
	if h := (*said)[0]; len(h.Message) > 300 || !utf8.ValidString(h.Message) || !strings.HasSuffix(h.Message, "…") {
		t.Errorf("%d bytes: %.300q", len(h.Message), h.Message)
	}
}

// Whether a target speaks TLS is tried once, where that is not known.
func TestMayTryTLS(t *testing.T) {
	for target, want := range map[string]bool{"8443": true, "h2c://app:9000": true, "https://app": false, "unix:/run/app.sock": false} {
		w, _ := watch(t, target, nil)
		if got := w.MayTryTLS(); got != want || w.MayTryTLS() {
			t.Errorf("%s: %t", target, got)
		}
	}
	w, _ := watch(t, "8443", nil)
	if w.TLS(); w.MayTryTLS() {
		t.Error("it is known")
	}
}

// A target that is spoken to by TLS already may hand on what somebody behind it says of TLS.
func TestAnswer_OfTLSBehind(t *testing.T) {
	resp, body := answer(t, "nginx-1.22.1.http")
	w, said := watch(t, "https://app:8443", nil)
	if w.Answer(resp.StatusCode, host, "/", body); len(*said) != 0 {
		t.Errorf("%q", *said)
	}
}

// FuzzAnswer: whatever a workload says, the way to a hint ends.
func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"vite-8.4.0.http", "django-5.http", "rails-6.http"} {
		resp, body := answer(f, name)
		f.Add(resp.StatusCode, host, "/", body)
	}
	f.Fuzz(func(t *testing.T, status int, name, path string, text []byte) {
		w, said := watch(t, "5173", nil)
		w.Answer(status, name, path, text)
		if len(*said) > 1 {
			t.Errorf("%q", *said)
		}
	})
}

// The page about tunnels has each framework, and the setting that its hint has.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/tunnel.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		w, said := watch(t, "8443", nil)
		resp, body := answer(t, filepath.Base(name))
		w.Answer(resp.StatusCode, host, "/_next/x", body)
		if len(*said) != 1 {
			t.Fatalf("%s: %q", name, *said)
		}
		h := (*said)[0]
		fix := h.Fixes[len(h.Fixes)-1]
		_, setting, of := strings.Cut(fix, "\n")
		if !of {
			setting = fix
		}
		if !strings.Contains(string(page), setting) || h.Framework != "" && !strings.Contains(string(page), "\n### "+h.Framework+"\n") {
			t.Errorf("%s is not on the page: %s", h.Framework, setting)
		}
	}
}

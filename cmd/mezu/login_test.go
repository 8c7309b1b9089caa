package main

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/testkit"
)

// hidden are the hidden fields of the forms of a page.
var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

func fields(page string) url.Values {
	out := url.Values{}
	for _, f := range hidden.FindAllStringSubmatch(page, -1) {
		out.Set(f[1], strings.NewReplacer("&amp;", "&", "&#43;", "+", "&#34;", `"`, "&#39;", "'").Replace(f[2]))
	}
	return out
}

// postAt sends a form to a page of the control plane.
func (v visitor) postAt(site, page string, form url.Values) (*http.Response, string) {
	v.t.Helper()
	was := v.ready.URL
	r := *v.running
	r.ready.URL = site
	defer func() { r.ready.URL = was }()
	return visitor{&r, v.client}.post(page, form)
}

// The developer is let in at the control plane by the link that mezu dev shows, and logs in
// with mezu there, in a browser: through the real pages, and to real tokens. A token that is
// refused is renewed, and after the logout nothing of it opens anything.
func TestDevLogin(t *testing.T) {
	r := start(t, t.TempDir())
	site, token, ok := strings.Cut(r.ready.LoginLink, "/link#")
	if !ok {
		t.Fatalf("%q", r.ready.LoginLink)
	}
	v := r.visitor()
	if resp, _ := v.get(site + "/link"); resp.StatusCode != 200 {
		t.Fatal(resp.StatusCode)
	}
	resp, body := v.postAt(site, "/link", url.Values{"token": {token}})
	if resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("the login link: %d %s", resp.StatusCode, body)
	}
	code, said := make(chan int, 1), &testkit.Buffer{}
	go func() {
		code <- run(context.Background(), []string{"login", "--no-browser", "--api", site, "--ca-file", r.ready.CAFile, "--profile", "site"}, r.getenv, terminal.Streams{In: strings.NewReader(""), Out: said, Err: said})
	}()
	address := ""
	controltest.Eventually(t, "the address to log in at", func() bool {
		address = regexp.MustCompile(`https://\S+`).FindString(said.String())
		return address != ""
	})
	if resp, body = v.get(address); resp.StatusCode != 200 || !strings.Contains(body, "http://127.0.0.1:") {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	form := fields(body)
	form.Set("answer", "allow")
	resp, body = v.postAt(site, "/oauth/authorize", form)
	if back := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(back, "http://127.0.0.1:") {
		t.Fatalf("%d to %q: %s", resp.StatusCode, back, body)
	}
	if resp, body = v.get(resp.Header.Get("Location")); !strings.Contains(body, "You are logged in.") {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if got := <-code; got != 0 {
		t.Fatalf("exit code %d: %s", got, said)
	}
	if code, out, talk := r.mezu("whoami", "--profile", "site"); code != 0 || !strings.Contains(out, ", owner of dev\n") || !strings.Contains(out, " (renews itself)\n") || !strings.Contains(out, "environments.write, routes.write, warpgate.register, …") {
		t.Errorf("exit code %d: %s %s", code, out, talk)
	}
	// The control plane refuses a token that it doesn't know: the login renews it.
	path := filepath.Join(r.home, "config", "credentials", "site")
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := regexp.MustCompile(`"token":"mezu_[^"]*"`).ReplaceAll(kept, []byte(`"token":"mezu_spoilt"`))
	if err := os.WriteFile(path, spoilt, 0o600); err != nil || string(spoilt) == string(kept) {
		t.Fatal(err)
	}
	if code, out, talk := r.mezu("projects", "list", "--profile", "site"); code != 0 || !strings.HasPrefix(out, "shop\t") || talk != "" {
		t.Errorf("exit code %d: %s %s", code, out, talk)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if kept, err = os.ReadFile(path); err != nil || strings.Contains(string(kept), "spoilt") {
		t.Errorf("it is not renewed: %v", err)
	}
	if code, _, talk := r.mezu("logout", "--profile", "site"); code != 0 || !strings.Contains(talk, "logged out at "+site) {
		t.Errorf("exit code %d: %s", code, talk)
	}
	// What somebody has copied is worth nothing any more.
	if err := os.WriteFile(path, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, talk := r.mezu("projects", "list", "--profile", "site"); code != 3 || !strings.Contains(talk, "your access at localhost ended\n  try: mezu login --profile site\n") {
		t.Errorf("exit code %d: %s", code, talk)
	}
	// The developer's own profile goes on.
	if code, out, talk := r.mezu("whoami", "--profile", "dev"); code != 0 || !strings.Contains(out, "   operator, owner of dev") {
		t.Errorf("exit code %d: %s %s", code, out, talk)
	}
}

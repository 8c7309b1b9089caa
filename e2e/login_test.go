package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// person is somebody with a home of their own, a browser, and the command.
type person struct {
	w       *world
	home    string
	env     []string
	browser *http.Client
}

// newPerson is somebody whom the control plane knows already.
func (w *world) newPerson(env ...string) *person {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	carrier := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots}}
	w.t.Cleanup(carrier.CloseIdleConnections)
	p := &person{w: w, home: w.t.TempDir(), env: env, browser: &http.Client{Transport: carrier, Jar: jar, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	link := invoke[api.LoginLink](w, w.client, api.OpCreateLoginLink, nil).Link
	page, token, _ := strings.Cut(link, "#")
	p.visit("GET", page, nil)
	if resp, body := p.visit("POST", page, url.Values{"token": {token}}); resp.StatusCode != http.StatusSeeOther {
		w.t.Fatalf("the login link: %d %s", resp.StatusCode, body)
	}
	return p
}

// visit opens a page, or sends the form of one.
func (p *person) visit(method, address string, form url.Values) (*http.Response, string) {
	p.w.t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		p.w.t.Fatal(err)
	}
	req.Header = http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"same-origin"}}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", "https://"+req.URL.Host)
	}
	resp, err := p.browser.Do(req)
	if err != nil {
		p.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.w.t.Fatal(err)
	}
	return resp, string(body)
}

// command is the program for this person.
func (p *person) command(args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(binaries, "mezu"), args...)
	c.Env = append(append(os.Environ(), "MEZU_HOME="+p.home, "MEZU_NO_KEYRING=1", "MEZU_TOKEN=", "CI=", "LC_ALL=C.UTF-8"), p.env...)
	return c
}

// mezu runs a command to its end.
func (p *person) mezu(typed string, args ...string) (code int, out, talk string) {
	p.w.t.Helper()
	var stdout, stderr bytes.Buffer
	c := p.command(args...)
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(typed), &stdout, &stderr
	err := c.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		p.w.t.Fatal(err)
	} else if ok {
		code = exit.ExitCode()
	}
	return code, stdout.String(), stderr.String()
}

// hiddenField is one of the form of a page.
var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// login runs "mezu login" as a process, and does in the browser what it asks for.
func (p *person) login(args ...string) string {
	t := p.w.t
	t.Helper()
	all := append([]string{"login", "--no-browser", "--api", "https://" + p.w.api, "--ca-file", p.w.caFile()}, args...)
	run := startWith(t, "mezu login", p.command().Env, filepath.Join(binaries, "mezu"), all...)
	address := ""
	eventually(t, "the address to log in at", func() error {
		if address = regexp.MustCompile(`(?m)^Open (https://\S+)\n`).FindString(run.log.String()); address == "" {
			return errors.New(run.log.String())
		}
		address = strings.TrimSpace(strings.TrimPrefix(address, "Open "))
		return nil
	})
	_, body := p.visit("GET", address, nil)
	form := url.Values{"answer": {"allow"}}
	for _, f := range hiddenField.FindAllStringSubmatch(body, -1) {
		form.Set(f[1], strings.NewReplacer("&amp;", "&", "&#43;", "+", "&#34;", `"`, "&#39;", "'").Replace(f[2]))
	}
	resp, body := p.visit("POST", "https://"+p.w.api+"/oauth/authorize", form)
	back := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(back, "http://127.0.0.1:") {
		t.Fatalf("%d to %q: %s", resp.StatusCode, back, body)
	}
	if _, body := p.visit("GET", back, nil); !strings.Contains(body, "You are logged in. You can close this window.") {
		t.Fatal(body)
	}
	if code := run.exit(); code != 0 {
		t.Fatalf("exit code %d: %s", code, run.log.String())
	}
	return run.log.String()
}

// Ctrl-C ends a login that nobody has answered, and nothing is left of it.
func TestLogin_CtrlC(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, open)
	p := w.newPerson()
	run := startWith(t, "mezu login", p.command().Env, filepath.Join(binaries, "mezu"), "login", "--no-browser", "--api", "https://"+w.api, "--ca-file", w.caFile())
	waits := regexp.MustCompile(`redirect_uri=http%3A%2F%2F127\.0\.0\.1%3A(\d+)%2Fcallback`)
	eventually(t, "the address to log in at", func() error {
		if !waits.MatchString(run.log.String()) {
			return errors.New(run.log.String())
		}
		return nil
	})
	run.signal(syscall.SIGINT)
	if code := run.exit(); code != 130 || !strings.Contains(run.log.String(), "mezu: interrupted\n") {
		t.Errorf("exit code %d: %s", code, run.log.String())
	}
	if conn, err := net.Dial("tcp", "127.0.0.1:"+waits.FindStringSubmatch(run.log.String())[1]); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
	for _, left := range []string{"profiles/*", "credentials/[^.]*", "default"} {
		if found, err := filepath.Glob(filepath.Join(p.home, "config", left)); err != nil || len(found) > 0 {
			t.Errorf("%q is left, %v", found, err)
		}
	}
}

// refreshes is how often the control plane has renewed a login.
func (w *world) refreshes() (succeeded, failed int) {
	w.t.Helper()
	resp, err := http.Get("http://" + w.admin + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "mezusphere_logins_total{") || !strings.Contains(line, `"program-refresh"`) {
			continue
		}
		var n int
		if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n); err != nil {
			w.t.Fatal(line, err)
		}
		if strings.Contains(line, `"succeeded"`) {
			succeeded = n
		} else {
			failed += n
		}
	}
	return succeeded, failed
}

// ended is a credential whose token has ended, as its owner's clock shows it.
func ended(t *testing.T, credential []byte) []byte {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal(credential, &c); err != nil {
		t.Fatal(err)
	}
	c["expires_at"] = time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	out, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// atOnce runs the same command in twenty processes, and expects all of them to succeed with
// one refresh.
func (p *person) atOnce() {
	t := p.w.t
	t.Helper()
	before, _ := p.w.refreshes()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if out, err := p.command("projects", "list", "--org", "acme").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "shop") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Wait()
	if after, failed := p.w.refreshes(); after != before+1 || failed != 0 {
		t.Errorf("%d refreshes, %d failed", after-before, failed)
	}
}

// N26: of twenty processes that find the token ended at once, one renews it, and all go on.
func TestN26_TwentyProcessesRefreshOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, open)
	p := w.newPerson()
	said := p.login("--profile", "acme", "--org", "acme")
	file := filepath.Join(p.home, "config", "credentials", "acme")
	if !regexp.MustCompile(`✓ \S+ in acme \(owner\) until 20\d\d-\d\d-\d\d, profile acme, token in ` + regexp.QuoteMeta(file)).MatchString(said) {
		t.Errorf("said %q", said)
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, ended(t, kept), 0o600); err != nil {
		t.Fatal(err)
	}
	p.atOnce()
	if next, err := os.ReadFile(file); err != nil || bytes.Equal(next, kept) {
		t.Errorf("nothing new is kept: %v", err)
	}
}

// C3: a token of the environment goes first and is kept nowhere; one of a login is in its
// file alone, and what a logout leaves opens nothing.
func TestC3_NoTokenIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, open)
	p := w.newPerson()
	p.login("--profile", "acme", "--org", "acme")
	var c struct {
		Token   string `json:"token"`
		Refresh string `json:"refresh_token"`
	}
	file := filepath.Join(p.home, "config", "credentials", "acme")
	if data, err := os.ReadFile(file); err != nil || json.Unmarshal(data, &c) != nil || c.Token == "" || c.Refresh == "" {
		t.Fatal(err)
	}
	said := ""
	with := func(env string, args ...string) {
		t.Helper()
		p.env = []string{env}
		_, out, talk := p.mezu("", args...)
		said += out + talk
	}
	for _, args := range [][]string{{"whoami"}, {"whoami", "-o", "json"}, {"use", "acme/shop/production"}, {"profiles", "list", "-o", "yaml"}, {"projects", "list"}, {"projects", "create", "shop"}} {
		with("MEZU_TOKEN="+w.token, args...)
		with("MEZU_TOKEN=", args...)
		with("MEZU_TOKEN=mezu_"+strings.Repeat("x", 45), args...)
	}
	p.env = nil
	for _, secret := range []string{c.Token, c.Refresh, w.token} {
		if strings.Contains(said, secret) {
			t.Error("a secret is in the output")
		}
	}
	scan(t, p.home, map[string]string{c.Token: file, c.Refresh: file, w.token: ""})
	if code, _, talk := p.mezu("", "logout"); code != 0 || !strings.Contains(talk, "logged out at") {
		t.Errorf("exit code %d: %s", code, talk)
	}
	scan(t, p.home, map[string]string{c.Token: "", c.Refresh: "", w.token: ""})
	client := w.newClient(c.Token)
	if _, err := api.Invoke[api.Self](t.Context(), client, api.OpSelf, nil); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("after the logout: %v", err)
	}
}

// C3: while commands run, no argument and no process title has a token. A login reads one
// from standard input, and waits for its end, so that it can be looked at.
func TestC3_NoTokenInProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, open)
	p := w.newPerson()
	c := p.command("login", "--with-token", "--api", "https://"+w.api, "--ca-file", w.caFile())
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, w.token); err != nil {
		t.Fatal(err)
	}
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range entries {
		if data, err := os.ReadFile(name); err == nil && bytes.Contains(data, []byte(w.token)) {
			t.Errorf("%s has the token: %q", name, data)
		}
	}
	in.Close()
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}

// scan looks for secrets in all files of a folder. Each may be in one file, or in none.
func scan(t *testing.T, dir string, secrets map[string]string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		for secret, in := range secrets {
			if bytes.Contains(data, []byte(secret)) && path != in {
				t.Errorf("%s has a secret", path)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

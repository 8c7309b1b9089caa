package browser

import (
	"context"
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/testkit"
)

// command is "mezu login" as a process.
type command struct {
	t     *testing.T
	said  testkit.Buffer
	ended chan error
}

// logInBy starts a login of the profile "site", in the home of its caller.
func (w *world) logInBy(t *testing.T, home string, args ...string) *command {
	t.Helper()
	c := &command{t: t, ended: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	run := exec.CommandContext(ctx, w.dev.program, append([]string{"login", "--profile", "site", "--api", w.site, "--ca-file", w.dev.ca}, args...)...)
	run.Env = append(os.Environ(), "MEZU_HOME="+home, "MEZU_NO_KEYRING=1", "MEZU_TOKEN=", "LC_ALL=C.UTF-8")
	run.Stderr, run.Stdout = &c.said, &c.said
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.ended <- run.Wait() }()
	return c
}

// says waits until it says something, and gives the group of the pattern.
func (c *command) says(pattern string) string {
	c.t.Helper()
	find := regexp.MustCompile(pattern)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); ; {
		if found := find.FindStringSubmatch(c.said.String()); found != nil {
			return found[1]
		}
		select {
		case <-tick.C:
		case <-late:
			c.t.Fatalf("it does not say %q: %s", pattern, c.said.String())
		}
	}
}

// ends waits for the exit code.
func (c *command) ends(want int) {
	c.t.Helper()
	err := <-c.ended
	code := 0
	if exit, ok := err.(*exec.ExitError); ok {
		code = exit.ExitCode()
	} else if err != nil {
		c.t.Fatal(err)
	}
	if code != want || strings.Contains(c.said.String(), "DATA RACE") {
		c.t.Errorf("exit code %d: %s", code, c.said.String())
	}
}

// K12: the address that a login prints leads over a page that says what asks, and where it
// waits, back to it. The page at the end says that all is done. A refusal and a code for
// another machine are answered in the same browser.
func TestK12_LogInByMezu(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	client, err := api.NewClient(api.ClientConfig{BaseURL: w.dev.api, TLS: &tls.Config{RootCAs: w.roots}, UserAgent: "test", Token: func() (string, error) { return w.dev.token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdle()
	link, err := api.Invoke[api.LoginLink](t.Context(), client, api.OpCreateLoginLink, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := w.visitor(t)
	b.visit(link.Link)
	b.press(send)
	home := t.TempDir()
	credential := filepath.Join(home, "config", "credentials", "site")

	denied := w.logInBy(t, home, "--no-browser")
	b.visit(denied.says(`(?m)^Open (https://\S+)\n`))
	b.press("button[value=deny]")
	b.says("You are not logged in. The terminal says why. You can close this window.")
	denied.ends(3)
	denied.says("(the login was refused in the browser)")
	if _, err := os.Stat(credential); !os.IsNotExist(err) {
		t.Errorf("something is kept: %v", err)
	}

	c := w.logInBy(t, home, "--no-browser")
	address := c.says(`(?m)^Open (https://\S+)\n`)
	b.visit(address)
	b.says("Let mezu act for you?")
	b.says("Allow it only if you have just started mezu yourself.")
	back := regexp.MustCompile(`redirect_uri=http%3A%2F%2F(127\.0\.0\.1)%3A(\d+)%2Fcallback`).FindStringSubmatch(address)
	if back == nil {
		t.Fatal(address)
	}
	b.says("http://" + back[1] + ":" + back[2])
	b.press("button[value=allow]")
	b.says("You are logged in. You can close this window.")
	if at := eval[string](b, `location.origin + location.pathname`); at != "http://"+back[1]+":"+back[2]+"/callback" {
		t.Errorf("the tab is at %s", at)
	}
	if kept := eval[string](b, `document.cookie + JSON.stringify(localStorage) + document.querySelectorAll("script,form,a,img").length`); kept != "{}0" {
		t.Errorf("the page at the end has %s", kept)
	}
	c.ends(0)
	c.says(`(✓ .* in dev \(owner\) until 20\d\d-\d\d-\d\d, profile site, token in .*site)\n`)
	if _, err := os.Stat(credential); err != nil {
		t.Error(err)
	}
	// Its address is worth nothing a second time, and nobody waits there.
	b.visit(address)
	b.says("Let mezu act for you?")

	d := w.logInBy(t, home, "--device")
	code := d.says(`and type        ([A-Z]{4}-[A-Z]{4})\n`)
	b.visit(d.says(`(https://\S+/device) `))
	b.fill("code", strings.ToLower(code))
	b.press(send)
	b.says("Allow it only if you started it yourself, on a machine of your own.")
	b.press("button[value=allow]")
	b.says("The device is logged in")
	d.ends(0)
}

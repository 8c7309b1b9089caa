package cli_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu/cli"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/testkit"
)

// terminalOf runs commands of one person, whose clock is ahead by a time.
type terminalOf struct {
	t        *testing.T
	endpoint endpoint
	profiles profile.Store
}

func (w terminalOf) run(ahead time.Duration, args ...string) (code int, out string) {
	var said testkit.Buffer
	inv := invocation.Invocation{
		Streams: terminal.Streams{In: strings.NewReader(""), Out: &said, Err: &said, InTerminal: true, ErrTerminal: true}, Getenv: func(name string) string { return map[string]string{"DISPLAY": ":0"}[name] },
		Dir: w.t.TempDir(), Profiles: w.profiles, Now: func() time.Time { return time.Now().Add(ahead) },
	}
	opened := make(chan error, 1)
	code = cli.Main(context.Background(), args, inv, cli.Config{Version: "1.2.3", Open: func(address string) error {
		opened <- w.endpoint.visit("", address)
		return nil
	}})
	if args[0] == "login" {
		if err := <-opened; err != nil {
			w.t.Error(err)
		}
	}
	return code, said.String()
}

func loggedIn(t *testing.T) terminalOf {
	t.Helper()
	w := terminalOf{t, startControlPlane(t), profile.Store{Dir: filepath.Join(t.TempDir(), "config")}}
	if code, out := w.run(0, "login", "--api", w.endpoint.url, "--ca-file", w.endpoint.caFile); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	return w
}

// N26: of many commands that find the token ended, one renews it, and all go on.
func TestN26_CommandsAtOnce(t *testing.T) {
	w := loggedIn(t)
	for round := range 2 {
		ahead := time.Duration(round+1) * 2 * time.Hour
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				if code, out := w.run(ahead, "projects", "list"); code != 0 || !strings.Contains(out, "shop") {
					t.Errorf("exit code %d: %s", code, out)
				}
			})
		}
		all.Wait()
		if going, refreshes := w.endpoint.authority.logins(); going != 1 || refreshes != round+1 {
			t.Errorf("%d logins go on, %d refreshes", going, refreshes)
		}
	}
}

// A token that the control plane refuses before its end is renewed, and the call made again.
func TestRefusedToken(t *testing.T) {
	w := loggedIn(t)
	w.endpoint.authority.forget()
	if code, out := w.run(0, "projects", "create", "blog", "--org", w.endpoint.organization(nil)); code != 0 || !strings.Contains(out, "created project blog") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if _, refreshes := w.endpoint.authority.logins(); refreshes != 1 {
		t.Errorf("%d refreshes", refreshes)
	}
	if code, out := w.run(0, "projects", "list"); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
	if _, refreshes := w.endpoint.authority.logins(); refreshes != 1 {
		t.Errorf("%d refreshes", refreshes)
	}
	// A command that was logged out meanwhile says so.
	if code, out := w.run(0, "logout"); code != 0 {
		t.Fatal(out)
	}
	if code, out := w.run(0, "projects", "list"); code != 3 || !strings.Contains(out, "try: mezu login --api") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

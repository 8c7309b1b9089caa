package cli_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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
	// pipe says that it is none: there is nobody to see a browser. typed is standard input.
	pipe  bool
	typed string
}

func (w terminalOf) run(ahead time.Duration, args ...string) (code int, out string) {
	var said testkit.Buffer
	inv := invocation.Invocation{
		Streams: terminal.Streams{In: strings.NewReader(w.typed), Out: &said, Err: &said, InTerminal: !w.pipe, ErrTerminal: !w.pipe}, Getenv: func(name string) string { return map[string]string{"DISPLAY": ":0"}[name] },
		Dir: w.t.TempDir(), Profiles: w.profiles, Now: func() time.Time { return time.Now().Add(ahead) },
	}
	opened := make(chan error, 1)
	code = cli.Main(context.Background(), args, inv, cli.Config{Version: "1.2.3", Open: func(address string) error {
		opened <- w.endpoint.visit("", address)
		return nil
	}})
	if args[0] == "login" && !w.pipe {
		if err := <-opened; err != nil {
			w.t.Error(err)
		}
	}
	return code, said.String()
}

func newTerminal(t *testing.T) terminalOf {
	return terminalOf{t: t, endpoint: startControlPlane(t), profiles: profile.Store{Dir: filepath.Join(t.TempDir(), "config")}}
}

func loggedIn(t *testing.T) terminalOf {
	t.Helper()
	w := newTerminal(t)
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
	if code, out := w.run(0, "projects", "list"); code != 3 || !strings.Contains(out, "try: mezu login --profile 127-0-0-1, or set MEZU_TOKEN") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// N26: a command that is interrupted while it renews its login keeps what it gets: the refresh
// token of before would soon end the login.
func TestN26_InterruptedRefresh(t *testing.T) {
	w := loggedIn(t)
	was, _, err := w.profiles.Credential("127-0-0-1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.endpoint.authority.exchanging = cancel
	var said testkit.Buffer
	inv := invocation.Invocation{
		Streams: terminal.Streams{In: strings.NewReader(""), Out: &said, Err: &said}, Getenv: func(string) string { return "" },
		Dir: t.TempDir(), Profiles: w.profiles, Now: func() time.Time { return time.Now().Add(2 * time.Hour) },
	}
	if code := cli.Main(ctx, []string{"projects", "list"}, inv, cli.Config{Version: "1.2.3"}); code != 130 {
		t.Errorf("exit code %d: %s", code, said.String())
	}
	if is, _, err := w.profiles.Credential("127-0-0-1"); err != nil || is.Refresh == was.Refresh || !strings.HasPrefix(is.Refresh, "refresh-") {
		t.Errorf("what it got is lost: %v", err)
	}
}

// A call that is not to be cut ends in the way of the one that it outlasts, and before long.
func TestOutlast(t *testing.T) {
	for name, begin := range map[string]func() (context.Context, context.CancelFunc){
		"interrupted": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(time.Minute, cancel)
			return ctx, cancel
		},
		"late": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), time.Minute)
		},
		"late and interrupted": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			time.AfterFunc(time.Minute, cancel)
			return ctx, cancel
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			ctx, cancel := begin()
			defer cancel()
			out, end := invocation.Outlast(ctx)
			defer end()
			<-ctx.Done()
			if synctest.Wait(); out.Err() != nil {
				t.Errorf("%s: cut at once", name)
			}
			<-out.Done()
			if took := time.Since(start); out.Err() != ctx.Err() || took != time.Minute+3*time.Second {
				t.Errorf("%s: %v, not %v, after %v", name, out.Err(), ctx.Err(), took)
			}
		})
	}
}

// N30: where nobody sees a browser, the address is printed and --device is named. Nothing
// waits for ever.
func TestN30_NoBrowser(t *testing.T) {
	w := newTerminal(t)
	w.pipe = true
	begin := time.Now()
	code, out := 0, ""
	// On a busy machine the time may be over before there is an address.
	for within := 200 * time.Millisecond; !strings.Contains(out, "Open ") && within < time.Minute; within *= 2 {
		code, out = w.run(0, "login", "--api", w.endpoint.url, "--ca-file", w.endpoint.caFile, "--timeout", within.String())
	}
	if code != 7 || !strings.Contains(out, "Open "+w.endpoint.url+"/oauth/authorize?") || !strings.Contains(out, "mezu login --device") || time.Since(begin) > time.Minute {
		t.Errorf("exit code %d after %s: %s", code, time.Since(begin), out)
	}
	if names, err := w.profiles.Names(); err != nil || len(names) > 0 {
		t.Errorf("profiles %v, %v", names, err)
	}
}

// C3: a token comes by standard input alone, and nothing that is said has it.
func TestC3_TokenOnStandardInput(t *testing.T) {
	w := newTerminal(t)
	w.pipe, w.typed = true, w.endpoint.token+"\n"
	login := []string{"login", "--with-token", "--api", w.endpoint.url, "--ca-file", w.endpoint.caFile}
	if code, out := w.run(0, append(login, w.endpoint.token)...); code != 2 || strings.Contains(out, w.endpoint.token) {
		t.Errorf("as an argument: exit code %d: %s", code, out)
	}
	for _, args := range [][]string{login, {"whoami"}, {"whoami", "-o", "json"}, {"logout"}} {
		if code, out := w.run(0, args...); code != 0 || strings.Contains(out, w.endpoint.token) {
			t.Errorf("%s: exit code %d: %s", args[0], code, out)
		}
	}
}

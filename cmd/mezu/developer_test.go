package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/dev"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/manifest"
)

var errKilled = errors.New("killed")

// killed is the way to the control plane of a process that is killed when its n-th call
// was done, before it hears the answer.
type killed struct {
	http.RoundTripper
	after int
}

// RoundTrip implements http.RoundTripper.
func (k *killed) RoundTrip(req *http.Request) (*http.Response, error) {
	if k.after <= 0 {
		return nil, errKilled
	}
	resp, err := k.RoundTripper.RoundTrip(req)
	if k.after--; k.after == 0 && err == nil {
		resp.Body.Close()
		return nil, errKilled
	}
	return resp, err
}

// CloseIdleConnections lets a client close what it no longer needs.
func (k *killed) CloseIdleConnections() {
	k.RoundTripper.(interface{ CloseIdleConnections() }).CloseIdleConnections()
}

// developerOf is the developer of an installation, as one run has them.
func developerOf(t *testing.T, in *controltest.Installation, wrap func(http.RoundTripper) http.RoundTripper) *developer {
	t.Helper()
	d, err := newDeveloper("https://"+in.Plane.Addr(), in.Plane.CAFile(), filepath.Join(in.Dir, tokenFile), in.Plane.BootstrapCode)
	if err != nil {
		t.Fatal(err)
	}
	d.client.CloseIdle()
	d.now, d.users = in.Clock.Now, true
	// Tests put the clock of the installation ahead, and the control plane renews its certificate by
	// that one.
	d.client, err = api.NewClient(api.ClientConfig{BaseURL: "https://" + in.Plane.Addr(), TLS: &tls.Config{InsecureSkipVerify: true},
		Token: func() (string, error) { return d.current(), nil }, Wrap: wrap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.client.CloseIdle)
	return d
}

// comeIn is what each run does.
func comeIn(ctx context.Context, d *developer) (mezu.Environment, string, error) {
	if err := d.signIn(ctx); err != nil {
		return mezu.Environment{}, "", err
	}
	return d.setUp(ctx, "dev", "shop", "development")
}

// The developer's installation is set up once, whatever is repeated, and wherever a run
// was killed.
func TestDevSetup(t *testing.T) {
	in := controltest.Install(t)
	var env mezu.Environment
	var key string
	runs := 0
	for after, err := 1, errKilled; err != nil; after++ {
		if after > 20 {
			t.Fatalf("no run came to its end: %v", err)
		}
		d := developerOf(t, in, func(carrier http.RoundTripper) http.RoundTripper { return &killed{carrier, after} })
		if env, key, err = comeIn(t.Context(), d); err != nil && !errors.Is(err, errKilled) {
			t.Fatalf("killed after %d calls: %v", after, err)
		}
		runs++
	}
	if runs < 6 {
		t.Errorf("only %d runs", runs)
	}
	if env.URL != "https://shop-development-dev.localhost:8443" || env.Enabled == nil || !*env.Enabled {
		t.Errorf("environment %+v", env)
	}
	w, _ := in.Register(key, "")
	first := developerOf(t, in, nil)
	if err := first.signIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	state := controltest.Call[api.RoutesState](t, first.client, api.OpListRoutes, nil, "dev", "shop", "development")
	if len(state.Routes) != 1 || state.Routes[0].Prefix != "/" {
		t.Errorf("routes %+v", state.Routes)
	}
	in.Restart()
	second := developerOf(t, in, nil)
	env2, key2, err := comeIn(t.Context(), second)
	if err != nil || env2.ID != env.ID || second.current() != first.current() {
		t.Fatalf("%v %+v", err, env2)
	}
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client(key, nil), api.OpSelf, nil)
	in.Register(key2, "")
	controltest.Call[api.RegisterResponse](t, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.CSR})
	// Users may sign up, unless somebody has said otherwise.
	users := func() mezu.Directory {
		t.Helper()
		return controltest.Call[mezu.Directory](t, second.client, api.OpGetDirectory, nil, "dev", "shop", "users")
	}
	if env2.Directory != "users" || users().Signup != mezu.SignupOpen {
		t.Errorf("%+v %+v", env2, users())
	}
	controltest.Call[any](t, second.client, api.OpUpdateDirectory, map[string]any{"signup": "closed"}, "dev", "shop", "users")
	controltest.Call[any](t, second.client, api.OpUpdateEnvironment, map[string]any{"directory": nil}, "dev", "shop", "development")
	if env3, _, err := comeIn(t.Context(), second); err != nil || env3.Directory != "users" || users().Signup != mezu.SignupClosed {
		t.Errorf("%v %+v %+v", err, env3, users())
	}
	controltest.Call[any](t, second.client, api.OpCreateDirectory, map[string]any{"name": "staff"}, "dev", "shop")
	controltest.Call[any](t, second.client, api.OpUpdateEnvironment, map[string]any{"directory": "staff"}, "dev", "shop", "development")
	if env3, _, err := comeIn(t.Context(), second); err != nil || env3.Directory != "staff" {
		t.Errorf("%v %+v", err, env3)
	}
	controltest.Call[any](t, second.client, api.OpUpdateEnvironment, map[string]any{"directory": nil}, "dev", "shop", "development")
	second.users = false
	if env3, _, err := comeIn(t.Context(), second); err != nil || env3.Directory != "" {
		t.Errorf("%v %+v", err, env3)
	}
	if n := len(controltest.Call[api.List[mezu.Operator]](t, second.client, api.OpListOperators, nil).Items); n != 1 {
		t.Errorf("%d operators", n)
	}
}

// The token is kept for its owner alone. One that has lived for half its time, has ended,
// or is damaged is replaced, and the developer stays who they were.
func TestDevToken(t *testing.T) {
	in := controltest.Install(t)
	before, who := "", ""
	for turn, change := range []func() error{
		func() error { return nil },
		func() error { in.Clock.Advance(mezu.DefaultTokenLife/2 + time.Hour); return nil },
		func() error { in.Clock.Advance(2 * mezu.DefaultTokenLife); return nil },
		func() error { return os.WriteFile(filepath.Join(in.Dir, tokenFile), []byte("half a tok"), 0o600) },
		func() error {
			return os.WriteFile(filepath.Join(in.Dir, tokenFile), []byte("mezu_two\nlines\n"), 0o600)
		},
		func() error {
			return os.WriteFile(filepath.Join(in.Dir, tokenFile), []byte("mezu_\x00\x01\x7f"), 0o600)
		},
		func() error { return os.Remove(filepath.Join(in.Dir, tokenFile)) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		d := developerOf(t, in, nil)
		if err := d.signIn(t.Context()); err != nil {
			t.Fatalf("%d: %v", turn, err)
		}
		self := controltest.Call[api.Self](t, d.client, api.OpSelf, nil)
		if d.current() == before || who != "" && self.ID != who {
			t.Errorf("%d: %+v", turn, self)
		}
		before, who = d.current(), self.ID
		info, err := os.Stat(d.file)
		kept, readErr := os.ReadFile(d.file)
		if err != nil || readErr != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 || strings.TrimSpace(string(kept)) != d.current() {
			t.Errorf("%d: the file %v, %v, %v", turn, info, err, readErr)
		}
	}
}

// During a run, a token is replaced at half its time, and when it opens nothing any more.
func TestDevTokenInRun(t *testing.T) {
	in := controltest.Install(t)
	d := developerOf(t, in, nil)
	var told []string
	d.renewed = func(token string) { told = append(told, token) }
	if _, _, err := comeIn(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	first := d.current()
	if err := d.renew(t.Context()); err != nil || d.current() != first {
		t.Fatalf("a new token was replaced, %v", err)
	}
	in.Clock.Advance(mezu.DefaultTokenLife/2 + time.Hour)
	if err := d.renew(t.Context()); err != nil || d.current() == first {
		t.Fatalf("an old token was kept, %v", err)
	}
	apply := func() {
		t.Helper()
		before := d.current()
		m := mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{"development": {Routes: []mezu.Route{{Prefix: "/"}}}}}
		if err := d.apply(t.Context(), "dev", "shop", m); err != nil || d.current() == before {
			t.Fatalf("the token was kept, %v", err)
		}
	}
	in.Clock.Advance(2 * mezu.DefaultTokenLife)
	apply()
	tokens := controltest.Call[api.List[mezu.Token]](t, d.client, api.OpListTokens, nil)
	for _, token := range tokens.Items {
		controltest.Call[any](t, in.Client(d.current(), nil), api.OpDeleteToken, nil, token.ID)
	}
	apply()
	in.Clock.Advance(2 * mezu.DefaultTokenLife)
	if token, err := d.joinToken(t.Context()); err != nil || token == "" {
		t.Errorf("the join token %q, %v", token, err)
	}
	if len(told) != 5 || told[4] != d.current() {
		t.Errorf("told of %d tokens", len(told))
	}
}

// Where others made the organization, the error says who has to act.
func TestDevPowerless(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	in.Join(op, "acme", "ana@acme.example", mezu.RoleOwner)
	self := controltest.Call[api.Self](t, op, api.OpSelf, nil).ID
	in.Leave(op, "acme")
	d := developerOf(t, in, nil)
	if err := d.signIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, err := d.setUp(t.Context(), "acme", "shop", "development")
	e, ok := errors.AsType[*mezu.Error](err)
	if !ok || e.Code != mezu.CodeForbidden || !strings.Contains(e.Detail, self) || !strings.Contains(e.Hint, "an owner of the organization") {
		t.Errorf("%+v", err)
	}
}

// deaf does not hear the answers while it is on, though what it asks for is done.
type deaf struct {
	http.RoundTripper
	on bool
}

// RoundTrip implements http.RoundTripper.
func (d *deaf) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := d.RoundTripper.RoundTrip(req)
	if d.on && err == nil {
		resp.Body.Close()
		return nil, errKilled
	}
	return resp, err
}

// CloseIdleConnections lets a client close what it no longer needs.
func (d *deaf) CloseIdleConnections() {
	d.RoundTripper.(interface{ CloseIdleConnections() }).CloseIdleConnections()
}

// Without an answer nobody knows which routes are in force, so the targets of both stay
// allowed until the next answer.
func TestDevFileUnsure(t *testing.T) {
	in := controltest.Install(t)
	way := &deaf{}
	d := developerOf(t, in, func(carrier http.RoundTripper) http.RoundTripper { way.RoundTripper = carrier; return way })
	if _, _, err := comeIn(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	run := &devRun{developer: d, Options: dev.Options{Organization: "dev", Project: "shop", Environment: "development"}}
	run.FilePath, run.File = filepath.Join(t.TempDir(), "mezu.yaml"), &manifest.File{Name: "mezu.yaml"}
	run.out = &devOutput{Options: run.Options}
	file := &devFile{run: run}
	for _, c := range []struct {
		what, upstream string
		deaf           bool
		allowed        string
	}{
		{"applied", "127.0.0.1:1", false, "1"},
		{"no answer", "127.0.0.1:2", true, "1 2"},
		{"no answer again", "127.0.0.1:2", true, "1 2"},
		{"unreadable", "127.0.0.1:3\", prefix: \"/both", false, "1 2"},
		{"refused", "127.0.0.1:3\"}\n    directory: nowhere #", false, "1 2"},
		{"an answer", "127.0.0.1:2", false, "2"},
	} {
		text := "environments:\n  development:\n    routes:\n      - {exact: /one, upstream: \"" + c.upstream + "\"}\n"
		if err := os.WriteFile(run.FilePath, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		way.on = c.deaf
		err := file.reapply(t.Context())
		if file.unsure != c.deaf {
			t.Errorf("%s: unsure is %v, %v", c.what, file.unsure, err)
		}
		var allowed []string
		for port := range 4 {
			if u, err := mezu.ParseUpstream("127.0.0.1:" + strconv.Itoa(port+1)); err == nil && file.mayForward(u) {
				allowed = append(allowed, strconv.Itoa(port+1))
			}
		}
		if got := strings.Join(allowed, " "); got != c.allowed {
			t.Errorf("%s: allowed are %q, not %q; %v", c.what, got, c.allowed, err)
		}
	}
}

// TestDevMisspelt: a mistyped environment is not made: the one that it looks like is offered. One
// that is named in the file, has another number, or looks like none, is.
func TestDevMisspelt(t *testing.T) {
	in := controltest.Install(t)
	d := developerOf(t, in, nil)
	if err := d.signIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	use := func(env string, near ...string) error {
		d.near = near
		_, _, err := d.setUp(t.Context(), "dev", "shop", env)
		return err
	}
	for _, env := range []string{"production", "dev1"} {
		if err := use(env); err != nil {
			t.Fatal(err)
		}
	}
	for env, near := range map[string]string{"prodction": "production", "developmet": "development"} {
		err := use(env, "development")
		want := fmt.Sprintf("there is no environment %q in dev/shop; did you mean %s?", env, near)
		refused, ok := errors.AsType[*mezu.Error](err)
		if !ok || refused.Detail != want || refused.Code != mezu.CodeNotFound || !strings.HasPrefix(refused.Hint, "mezu dev -e "+near) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, env := range []string{"production", "staging", "dev2"} {
		if err := use(env, "development"); err != nil {
			t.Errorf("%s: %v", env, err)
		}
	}
	if err := use("prodction"); err != nil { // nobody has typed it
		t.Error(err)
	}
}

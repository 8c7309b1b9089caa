package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
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
	t.Cleanup(d.client.CloseIdle)
	d.now = in.Clock.Now
	if wrap != nil {
		d.client, err = api.NewClient(api.ClientConfig{BaseURL: "https://" + in.Plane.Addr(), TLS: &tls.Config{RootCAs: in.Roots},
			Token: func() (string, error) { return d.token, nil }, Wrap: wrap})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.client.CloseIdle)
	}
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
	if err != nil || env2.ID != env.ID || second.token != first.token {
		t.Fatalf("%v %+v", err, env2)
	}
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client(key, nil), api.OpSelf, nil)
	in.Register(key2, "")
	controltest.Call[api.RegisterResponse](t, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.CSR})
	if n := len(controltest.Call[api.List[mezu.Operator]](t, second.client, api.OpListOperators, nil).Items); n != 1 {
		t.Errorf("%d operators", n)
	}
}

// The token is kept for its owner alone. One that has lived for half its time, has ended,
// or is damaged is replaced, and the developer stays who they were.
func TestDevToken(t *testing.T) {
	in := controltest.Install(t)
	before, who := "", ""
	for name, change := range []func() error{
		func() error { return nil },
		func() error { in.Clock.Advance(mezu.DefaultTokenLife/2 + time.Hour); return nil },
		func() error { in.Clock.Advance(2 * mezu.DefaultTokenLife); return nil },
		func() error { return os.WriteFile(filepath.Join(in.Dir, tokenFile), []byte("half a tok"), 0o600) },
		func() error { return os.Remove(filepath.Join(in.Dir, tokenFile)) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		d := developerOf(t, in, nil)
		if err := d.signIn(t.Context()); err != nil {
			t.Fatalf("%d: %v", name, err)
		}
		self := controltest.Call[api.Self](t, d.client, api.OpSelf, nil)
		if d.token == before || who != "" && self.ID != who {
			t.Errorf("%d: %+v", name, self)
		}
		before, who = d.token, self.ID
		info, err := os.Stat(d.file)
		kept, readErr := os.ReadFile(d.file)
		if err != nil || readErr != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 || strings.TrimSpace(string(kept)) != d.token {
			t.Errorf("%d: the file %v, %v, %v", name, info, err, readErr)
		}
	}
}

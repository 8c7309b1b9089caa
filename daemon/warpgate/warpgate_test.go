package warpgate_test

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/sidecar"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/testkit"
)

func TestServe(t *testing.T) {
	w := newWorld(t, 2)
	g := w.start(w.config(t.TempDir()))
	e := g.event("connected", func(e mezu.Event) bool { return e.Event == mezu.EventWarpgate && e.Status == mezu.WarpgateConnected })
	if e.Organization != "acme" || e.Project != "shop" || e.Environment != "production" || e.URL == "" || e.WarpgateID == "" || e.Time.IsZero() {
		t.Errorf("event %+v", e)
	}
	g.ready()
	for _, edge := range w.edges {
		edge.ping(t, w.env)
		edge.applied(t, positionOf(t, w.bundle))
	}

	next := w.setBundle(w.env, "/api/")
	w.edges[0].hub.Push(w.env, next)
	c := g.event("config", func(e mezu.Event) bool { return e.Event == mezu.EventConfig })
	if c.Revision != positionOf(t, next) {
		t.Errorf("revision %v", c.Revision)
	}
	for _, edge := range w.edges { // the other edge hears of it too
		edge.applied(t, positionOf(t, next))
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	g.event("stopped", func(e mezu.Event) bool { return e.Event == mezu.EventStopped && e.Code == "" })
}

func TestStaticStability(t *testing.T) {
	w := newWorld(t, 2)
	dir := t.TempDir()
	g := w.start(w.config(dir))
	g.ready()
	id := g.event("connected", func(e mezu.Event) bool { return e.Status == mezu.WarpgateConnected }).WarpgateID
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	w.stopAPI()
	for range 2 { // and again, with epochs that rise
		g = w.start(w.config(dir))
		g.ready()
		for _, e := range w.edges {
			e.ping(t, w.env)
		}
		if got := g.event("connected", func(e mezu.Event) bool { return e.Status == mezu.WarpgateConnected }).WarpgateID; got != id {
			t.Errorf("identity %s, was %s", got, id)
		}
		if err := g.stop(); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := w.counts(); n != 1 {
		t.Errorf("%d registrations", n)
	}
}

// A restart after kill -9: the former registration is still there and is fenced.
func TestRestartWithoutFarewell(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	g := w.start(w.config(dir))
	g.ready()
	g.Close()
	if err := g.wait(); err != nil {
		t.Fatal(err)
	}
	g = w.start(w.config(dir))
	g.ready()
	w.edges[0].ping(t, w.env)
}

func TestPermanentErrors(t *testing.T) {
	w := newWorld(t, 1)
	good := w.key
	other := mezu.NewKey()
	for name, c := range map[string]struct {
		token  string
		refuse mezu.Code
		want   mezu.Code
		calls  int
	}{
		"wrong key":          {token: other, want: mezu.CodeUnauthenticated, calls: 1},
		"truncated key":      {token: good[:49], want: mezu.CodeUnauthenticated},
		"mistyped key":       {token: good[:49] + "_", want: mezu.CodeUnauthenticated},
		"no key":             {token: " \n", want: mezu.CodeUnauthenticated},
		"revoked key":        {token: good, refuse: mezu.CodeUnauthenticated, want: mezu.CodeUnauthenticated, calls: 1},
		"not allowed":        {token: good, refuse: mezu.CodeForbidden, want: mezu.CodeForbidden, calls: 1},
		"foreign key":        {token: good, refuse: mezu.CodeNotFound, want: mezu.CodeNotFound, calls: 1},
		"key with line feed": {token: good + "\n", refuse: mezu.CodeForbidden, want: mezu.CodeForbidden, calls: 1},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := w.counts()
			w.mu.Lock()
			w.refuse = nil
			if c.refuse != "" {
				w.refuse = func(string) *mezu.Error { return mezu.Errorf(c.refuse, "no") }
			}
			w.mu.Unlock()
			cfg := w.config(t.TempDir())
			cfg.Token = func() (string, error) { return c.token, nil }
			g := w.start(cfg)
			err := g.wait()
			var e *mezu.Error
			if !errors.As(err, &e) || e.Code != c.want {
				t.Fatalf("error %v, want %s", err, c.want)
			}
			if after, _ := w.counts(); after-before != c.calls {
				t.Errorf("%d calls, want %d", after-before, c.calls)
			}
			g.event("stopped with the code", func(e mezu.Event) bool { return e.Event == mezu.EventStopped && e.Code == c.want })
			if strings.Contains(g.log.String(), strings.TrimSpace(c.token)) && strings.TrimSpace(c.token) != "" {
				t.Error("the key is in the log")
			}
		})
	}
}

func TestTransientErrors(t *testing.T) {
	w := newWorld(t, 1)
	for _, code := range []mezu.Code{mezu.CodeUnavailable, mezu.CodeInternal, mezu.CodeRateLimited} {
		t.Run(string(code), func(t *testing.T) {
			left := 3
			w.mu.Lock()
			w.refuse = func(string) *mezu.Error {
				if left--; left < 0 {
					return nil
				}
				return mezu.Errorf(code, "not now")
			}
			w.mu.Unlock()
			g := w.start(w.config(t.TempDir()))
			g.event("error", isError(code, "not now"))
			g.ready()
			if err := g.stop(); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		w.stopAPI()
		g := w.start(w.config(t.TempDir()))
		g.event("error", isError(mezu.CodeUnavailable, "unreachable"))
		w.startAPI(w.addr)
		g.ready()
	})
	t.Run("end while trying", func(t *testing.T) {
		w.stopAPI()
		g := w.start(w.config(t.TempDir()))
		g.event("error", isError(mezu.CodeUnavailable, "unreachable"))
		if err := g.stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBadConfig(t *testing.T) {
	w := newWorld(t, 0)
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	os.WriteFile(garbage, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o600)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	os.WriteFile(empty, nil, 0o600)
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	for name, c := range map[string]struct {
		change func(*warpgate.Config)
		field  string
	}{
		"no API":               {func(c *warpgate.Config) { c.API = "" }, "api"},
		"API without TLS":      {func(c *warpgate.Config) { c.API = "http://127.0.0.1:1" }, "api"},
		"upstream":             {func(c *warpgate.Config) { c.Upstream = "ftp://x" }, "upstream"},
		"target":               {func(c *warpgate.Config) { c.AllowTargets = []string{"nothing"} }, "allow-target"},
		"environment":          {func(c *warpgate.Config) { c.Environment = "No" }, "environment"},
		"no state":             {func(c *warpgate.Config) { c.StateDir = "" }, "state"},
		"state is a file":      {func(c *warpgate.Config) { c.StateDir = file }, "state"},
		"state not writable":   {func(c *warpgate.Config) { c.StateDir = "/proc/mezu" }, "state"},
		"TestK11 CA missing":   {func(c *warpgate.Config) { c.CAFile = file + ".none" }, "ca-file"},
		"TestK11 CA empty":     {func(c *warpgate.Config) { c.CAFile = empty }, "ca-file"},
		"TestK11 CA garbage":   {func(c *warpgate.Config) { c.CAFile = garbage }, "ca-file"},
		"TestK11 CA directory": {func(c *warpgate.Config) { c.CAFile = t.TempDir() }, "ca-file"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.config(t.TempDir())
			c.change(&cfg)
			d, err := warpgate.New(cfg)
			if err == nil {
				err = d.Run(t.Context())
			}
			invalid(t, err, c.field)
		})
	}
	t.Run("health port in use", func(t *testing.T) {
		busy, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer busy.Close()
		d, err := sidecar.New(sidecar.Config{Warpgates: []warpgate.Config{w.config(t.TempDir())}, HealthAddr: busy.Addr().String()})
		if err == nil {
			err = d.Run(t.Context())
		}
		invalid(t, err, "health-addr")
	})
	if n, _ := w.counts(); n != 0 {
		t.Errorf("%d calls", n)
	}
}

// invalid wants an error of this field.
func invalid(t *testing.T, err error, field string) {
	t.Helper()
	var e *mezu.Error
	if !errors.As(err, &e) || e.Code != mezu.CodeInvalid || e.Field != field {
		t.Fatalf("error %#v (%v), want field %s", err, err, field)
	}
}

func TestStateDirLocked(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	g := w.start(w.config(dir))
	g.ready()
	d, err := warpgate.New(w.config(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Run(t.Context()); mezu.CodeOf(err) != mezu.CodeConflict || !strings.Contains(err.Error(), dir) {
		t.Fatalf("error %v", err)
	}
	w.edges[0].ping(t, w.env)
}

func TestCloseBeforeRun(t *testing.T) {
	w := newWorld(t, 0)
	d, err := warpgate.New(w.config(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	d.Close()
	if err := d.Run(t.Context()); err == nil {
		t.Fatal("it ran")
	}
}

func TestDrain(t *testing.T) {
	w := newWorld(t, 1)
	g := w.start(w.config(t.TempDir()))
	g.ready()
	c := w.edges[0].checkout(t, w.env)
	if _, err := c.Write([]byte("slow\n")); err != nil {
		t.Fatal(err)
	}
	g.cancel()
	eventually(t, "draining", func() bool { _, why := g.Ready(); return why == "draining" })
	eventually(t, "no new requests", func() bool { return w.edges[0].hub.PickBut(w.env, nil) == nil })
	select {
	case <-g.done:
		t.Fatal("ended with a request in flight")
	default:
	}
	if got := exchange(t, c, "late\n"); got != "late\n" {
		t.Fatalf("answer %q", got)
	}
	c.Release()
	if err := g.wait(); err != nil {
		t.Fatal(err)
	}
}

func TestDrainTimeout(t *testing.T) {
	w := newWorld(t, 1)
	cfg := w.config(t.TempDir())
	cfg.DrainTimeout = 50 * time.Millisecond
	g := w.start(cfg)
	g.ready()
	c := w.edges[0].checkout(t, w.env)
	defer c.Discard()
	if _, err := c.Write([]byte("slow\n")); err != nil {
		t.Fatal(err)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("the connection is still there")
	}
}

func TestCloseCutsDrain(t *testing.T) {
	w := newWorld(t, 1)
	cfg := w.config(t.TempDir())
	cfg.DrainTimeout = time.Hour
	g := w.start(cfg)
	g.ready()
	c := w.edges[0].checkout(t, w.env)
	defer c.Discard()
	if _, err := c.Write([]byte("slow\n")); err != nil {
		t.Fatal(err)
	}
	g.cancel()
	eventually(t, "draining", func() bool { _, why := g.Ready(); return why == "draining" })
	g.Close()
	if err := g.wait(); err != nil {
		t.Fatal(err)
	}
}

func TestEdgesChange(t *testing.T) {
	w := newWorld(t, 2)
	g := w.start(w.config(t.TempDir()))
	g.ready()
	first, second := w.edges[0], w.edges[1]
	first.ping(t, w.env)
	second.ping(t, w.env)
	busy := first.checkout(t, w.env)
	if _, err := busy.Write([]byte("slow\n")); err != nil {
		t.Fatal(err)
	}
	third := w.addEdge()
	second.hub.Push("", w.setEdges(second, third))
	third.ping(t, w.env)
	eventually(t, "the first edge gets nothing new", func() bool { return first.hub.PickBut(w.env, nil) == nil })
	if got := exchange(t, busy, "late\n"); got != "late\n" {
		t.Fatalf("what was in flight got %q", got)
	}
	busy.Release()
	eventually(t, "the first edge is left", func() bool { return sessions(first.hub, w.env) == 0 })
	second.ping(t, w.env)

	// The same edge at another address.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	moved := w.startEdge(ln, third.info.ID)
	second.hub.Push("", w.setEdges(second, moved))
	moved.ping(t, w.env)
	eventually(t, "the old address is left", func() bool { return sessions(third.hub, w.env) == 0 })
}

// counted is a listener that counts who comes.
type counted struct {
	net.Listener
	came atomic.Int32
}

func (c *counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.came.Add(1)
	}
	return conn, err
}

// TestEdgesSwapAddresses: of edges that have one another's address each is tried a few times in the
// time in which one that restarts is tried dozens of times.
func TestEdgesSwapAddresses(t *testing.T) {
	w := newWorld(t, 2)
	var at [2]*counted
	for i, e := range w.edges {
		e.kill()
		ln, err := net.Listen("tcp", e.info.TunnelAddress)
		if err != nil {
			t.Fatal(err)
		}
		at[i] = &counted{Listener: ln}
	}
	for i := range at {
		w.startEdge(at[i], w.edges[1-i].info.ID)
	}
	g := w.start(w.config(t.TempDir()), func(g *gate) { g.TestOnlyRetryLater() })
	for range at {
		g.event("told", isError("", "keeping the tunnel to edge "))
	}
	<-time.After(3500 * time.Millisecond)
	for i := range at {
		if n := at[i].came.Load(); n < 1 || n > 4 {
			t.Errorf("edge %d was tried %d times", i, n)
		}
	}
	g.stop()
}

func TestReconnect(t *testing.T) {
	w := newWorld(t, 1)
	g := w.start(w.config(t.TempDir()))
	g.ready()
	e := w.edges[0]
	e.kill()
	g.event("disconnected", func(e mezu.Event) bool { return e.Status == mezu.WarpgateDisconnected })
	ln, err := net.Listen("tcp", e.info.TunnelAddress)
	if err != nil {
		t.Fatal(err)
	}
	again := w.startEdge(ln, e.info.ID)
	g.event("connected", func(e mezu.Event) bool { return e.Status == mezu.WarpgateConnected })
	again.ping(t, w.env)
}

func TestBundlesRefused(t *testing.T) {
	w := newWorld(t, 2)
	old := w.bundle
	w.setBundle(w.env, "/two")
	g := w.start(w.config(t.TempDir()))
	g.ready()
	current := positionOf(t, w.bundle)
	edge := w.edges[0]
	edge.applied(t, current)

	altered := w.makeBundle(w.env, "/altered")
	altered.Payload = []byte(strings.Replace(string(altered.Payload), `"/altered"`, `"/alterxd"`, 1))
	disguised := w.makeBundle(w.env, "/disguised") // another statement's signature
	disguised.Purpose = mezu.PurposeEdges
	_, stranger, _ := ed25519.GenerateKey(nil)
	forged, err := mezu.Sign(mezu.PurposeBundle, "bundle-1", stranger, mezu.Bundle{Position: w.next(), Environment: w.env, Endpoint: "shop-acme", Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	broken := w.sign(mezu.PurposeBundle, mezu.Bundle{Position: w.next(), Environment: w.env, Endpoint: "shop-acme", Enabled: true, Routes: []mezu.Route{{Regexp: "("}}})
	for _, c := range []struct {
		doc  mezu.Signed
		says string
	}{
		{old, "older"},
		{altered, "verify"},
		{disguised, "no key"},
		{forged, "verify"},
		{broken, "regexp"},
		{w.makeBundle(mezu.NewID("env", time.Now()), "/foreign"), "another environment"},
		{w.sign(mezu.PurposeGrant, mezu.Grant{}), "none that a Warpgate takes"},
	} {
		before := g.log.String()
		edge.hub.Push("", c.doc)
		eventually(t, "a word about "+c.says, func() bool {
			return strings.Contains(strings.TrimPrefix(g.log.String(), before), c.says)
		})
	}
	for _, p := range edge.hub.Presence() {
		if p.Bundle != current {
			t.Errorf("acknowledged %v", p.Bundle)
		}
	}
	// It goes on, and takes the next good one from the other edge.
	next := w.setBundle(w.env, "/good")
	w.edges[1].hub.Push("", next)
	edge.applied(t, positionOf(t, next))
	edge.ping(t, w.env)
}

// An older bundle is refused after a restart too.
func TestBundleBackwardsAfterRestart(t *testing.T) {
	w := newWorld(t, 1)
	old := w.bundle
	newer := w.setBundle(w.env, "/two")
	dir := t.TempDir()
	g := w.start(w.config(dir))
	g.ready()
	g.stop()
	w.mu.Lock()
	w.bundle = old
	w.mu.Unlock()
	w.stopAPI()
	g = w.start(w.config(dir))
	g.ready()
	eventually(t, "refusal", func() bool { return strings.Contains(g.log.String(), "older") })
	w.edges[0].applied(t, positionOf(t, newer))
}

func TestOwnCertificateRevoked(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	g := w.start(w.config(dir))
	g.ready()
	w.edges[0].hub.Push("", w.revoke("beef")) // somebody else's
	w.edges[0].ping(t, w.env)
	w.edges[0].hub.Push("", w.revoke(w.serial))
	err := g.wait()
	if mezu.CodeOf(err) != mezu.CodeForbidden || !strings.Contains(err.Error(), "revoked") {
		t.Fatalf("error %v", err)
	}
	// It stays so, without a control plane.
	w.stopAPI()
	g = w.start(w.config(dir))
	if err := g.wait(); mezu.CodeOf(err) != mezu.CodeForbidden {
		t.Fatalf("error after a restart %v", err)
	}
}

func TestRenewal(t *testing.T) {
	w := newWorld(t, 1)
	g := w.start(w.config(t.TempDir()))
	g.ready()
	if _, n := w.counts(); n != 0 {
		t.Fatalf("%d renewals at once", n)
	}
	w.real.Advance(27 * time.Hour)
	g.clock.Advance(27 * time.Hour)
	eventually(t, "renewal", func() bool { _, n := w.counts(); return n == 1 })
	eventually(t, "second certificate", func() bool { return strings.Count(g.log.String(), "certificate received") == 2 })
	w.edges[0].ping(t, w.env)
	if n, _ := w.counts(); n != 1 {
		t.Errorf("%d registrations", n)
	}
	if strings.Contains(g.log.String(), "clock") {
		t.Error("a word about the clock")
	}
}

// The control plane was away for longer than the certificate lives.
func TestExpiredMeanwhile(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	g := w.start(w.config(dir))
	g.ready()
	w.stopAPI()
	w.real.Advance(8 * 24 * time.Hour)
	g.clock.Advance(8 * 24 * time.Hour)
	g.event("error", isError(mezu.CodeUnavailable, "unreachable"))
	w.startAPI(w.addr)
	eventually(t, "registration", func() bool { n, _ := w.counts(); return n == 2 })
	g.ready()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.registers[1].Warpgate == "" || len(w.known) != 1 {
		t.Error("the identity was lost")
	}
}

func TestClock(t *testing.T) {
	t.Run("a day behind", func(t *testing.T) {
		w := newWorld(t, 1)
		g := w.start(w.config(t.TempDir()), func(g *gate) { g.clock.Advance(-24 * time.Hour) })
		e := g.event("error", isError(mezu.CodeUnavailable, "clock"))
		if !strings.Contains(e.Message, "24h0m0s behind") || !strings.Contains(e.Hint, "timedatectl") {
			t.Errorf("event %+v", e)
		}
		eventually(t, "more tries", func() bool { n, _ := w.counts(); return n > 2 })
		g.clock.Advance(24 * time.Hour) // somebody sets it
		g.ready()
		if len(w.known) != 1 {
			t.Errorf("the tries made %d Warpgates", len(w.known))
		}
	})
	t.Run("a day ahead", func(t *testing.T) {
		w := newWorld(t, 1)
		g := w.start(w.config(t.TempDir()), func(g *gate) { g.clock.Advance(24 * time.Hour) })
		e := g.event("error", isError(mezu.CodeUnavailable, "clock"))
		if !strings.Contains(e.Message, "24h0m0s ahead") {
			t.Errorf("event %+v", e)
		}
		g.ready() // the certificate lives longer than that
	})
}

func TestTrustRootPinned(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	g := w.start(w.config(dir))
	g.ready()

	// At a renewal it is refused, and what was good goes on.
	other, _, _ := ed25519.GenerateKey(nil)
	w.mu.Lock()
	w.root = other
	w.mu.Unlock()
	w.real.Advance(27 * time.Hour)
	g.clock.Advance(27 * time.Hour)
	g.event("error", isError(mezu.CodeForbidden, "another trust root"))
	w.edges[0].ping(t, w.env)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}

	// At a registration it is the end.
	cfg := w.config(dir)
	cfg.Environment = "production"
	if err := w.start(cfg).wait(); mezu.CodeOf(err) != mezu.CodeForbidden || !strings.Contains(err.Error(), dir) {
		t.Fatalf("error %v", err)
	}
}

// Refused by the control plane alone it serves on; refused by the edges too, it
// ends.
func TestRenewalRefused(t *testing.T) {
	w := newWorld(t, 1)
	g := w.start(w.config(t.TempDir()))
	g.ready()
	w.mu.Lock()
	w.refuse = func(op string) *mezu.Error {
		return mezu.Errorf(mezu.CodeUnauthenticated, "the certificate was revoked")
	}
	w.mu.Unlock()
	w.real.Advance(27 * time.Hour)
	g.clock.Advance(27 * time.Hour)
	g.event("told", isError(mezu.CodeUnauthenticated, "revoked"))
	w.edges[0].ping(t, w.env)
	w.edges[0].kill()
	if err := g.wait(); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Fatalf("error %v", err)
	}
}

// The control plane moved the Warpgate to another environment: everything starts
// anew under the new identity.
func TestMoved(t *testing.T) {
	w := newWorld(t, 1)
	g := w.start(w.config(t.TempDir()))
	g.ready()
	w.mu.Lock()
	was := w.env
	w.env = mezu.NewID("env", time.Now())
	w.bundle = w.makeBundle(w.env, "/")
	w.mu.Unlock()
	w.real.Advance(27 * time.Hour)
	g.clock.Advance(27 * time.Hour)
	w.edges[0].ping(t, w.env)
	if n := sessions(w.edges[0].hub, was); n != 0 {
		t.Errorf("%d sessions of the old environment", n)
	}
}

// Whoever registers by a key that was replaced is told when it ends.
func TestKeyEndsIsSaid(t *testing.T) {
	w := newWorld(t, 1)
	w.mu.Lock()
	w.keyEnds = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	w.mu.Unlock()
	g := w.start(w.config(t.TempDir()))
	g.ready()
	g.stop()
	if !strings.Contains(g.log.String(), `level=WARN msg="the key in use was replaced; put the new one into its place" ends=2030-01-02T03:04:05Z`) {
		t.Error(g.log)
	}
}

func TestSettingsChange(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	g := w.start(w.config(dir))
	g.ready()
	g.stop()
	// A rotated key: registered again, as the same Warpgate.
	w.mu.Lock()
	w.key = mezu.NewKey()
	w.mu.Unlock()
	g = w.start(w.config(dir))
	g.ready()
	g.stop()
	if n, _ := w.counts(); n != 2 || len(w.known) != 1 {
		t.Fatalf("%d registrations of %d Warpgates", n, len(w.known))
	}
	// Another environment: as a new one.
	cfg := w.config(dir)
	cfg.Environment = "staging"
	g = w.start(cfg)
	g.ready()
	g.stop()
	if n, _ := w.counts(); n != 3 || len(w.known) != 2 {
		t.Fatalf("%d registrations of %d Warpgates", n, len(w.known))
	}
	// The control plane forgot it: as a new one, in the second call.
	w.mu.Lock()
	clear(w.known)
	w.mu.Unlock()
	g = w.start(w.config(dir))
	g.ready()
	g.stop()
	if len(w.known) != 1 {
		t.Fatalf("%d Warpgates", len(w.known))
	}
}

func TestWorkloadNotUp(t *testing.T) {
	w := newWorld(t, 1)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	cfg := w.config(t.TempDir())
	cfg.Upstream = addr
	g := w.start(cfg)
	g.event("waiting for the workload", isError(mezu.CodeWorkloadRefused, addr))
	g.ready() // it waits for nobody
	if ln, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	eventually(t, "it is found", func() bool { return strings.Contains(g.log.String(), "the workload is up") })
	if n := strings.Count(g.log.String(), "nothing answers"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// One edge's word does not end a Warpgate.
func TestEdgeRefusesForGood(t *testing.T) {
	w := newWorld(t, 2)
	bad := w.edges[0]
	bad.mistaken.Store(true)
	g := w.start(w.config(t.TempDir()))
	g.ready()
	g.event("told", isError(mezu.CodeForbidden, "only a Warpgate"))
	w.edges[1].ping(t, w.env)
	bad.mistaken.Store(false) // it comes to its senses
	bad.ping(t, w.env)
}

// Two processes with copies of one state directory: told, and one works.
func TestK9ClonedState(t *testing.T) {
	w := newWorld(t, 1)
	dir, copied := t.TempDir(), t.TempDir()
	g := w.start(w.config(dir))
	g.ready()
	g.stop()
	testkit.CopyDir(t, dir, copied)
	a, b := w.start(w.config(dir)), w.start(w.config(copied))
	hinted := func(e mezu.Event) bool { return isError(mezu.CodeConflict, "copy of this state directory")(e) }
	eventually(t, "one is told", func() bool {
		for {
			select {
			case e := <-a.events:
				if hinted(e) {
					return true
				}
			case e := <-b.events:
				if hinted(e) {
					return true
				}
			default:
				return false
			}
		}
	})
	w.edges[0].ping(t, w.env)
}

// An edge that proves to be somebody else gets no tunnel.
func TestT5Impostors(t *testing.T) {
	w, foreign := newWorld(t, 2), newWorld(t, 0)
	lost := w.edges[0]
	for name, pair := range map[string]*tls.Certificate{
		"foreign CA":   foreign.pair(&mezu.Identity{Role: mezu.PeerEdge, ID: lost.info.ID}),
		"another edge": w.pair(&mezu.Identity{Role: mezu.PeerEdge, ID: w.edges[1].info.ID}),
		"a Warpgate":   w.pair(&mezu.Identity{Role: mezu.PeerWarpgate, ID: mezu.NewID("wgt", time.Now()), Organization: w.org, Project: w.prj, Environment: w.env}),
		"plain server": w.pair(nil),
	} {
		t.Run(name, func(t *testing.T) {
			lost.kill()
			ln, err := tls.Listen("tcp", lost.info.TunnelAddress, &tls.Config{Certificates: []tls.Certificate{*pair}, ClientAuth: tls.RequestClientCert,
				NextProtos: []string{mezu.ProtocolControl}})
			if err != nil {
				t.Fatal(err)
			}
			words := make(chan int, 1000)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					conn.SetDeadline(time.Now().Add(patience))
					n, _ := conn.Read(make([]byte, 1))
					words <- n
					conn.Close()
				}
			}()
			g := w.start(w.config(t.TempDir()))
			g.event("told", isError("", "keeping the tunnel to edge "+lost.info.Name))
			if n := <-words; n != 0 {
				t.Error("the Warpgate spoke to it")
			}
			w.edges[1].ping(t, w.env)
			g.stop()
			ln.Close()
			<-done
		})
	}
}

package warpgate_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon"
	"github.com/mezusphere/mezu/daemon/asked"
	"github.com/mezusphere/mezu/daemon/event"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/testkit"
)

// These are tests of package daemon. They stand here, where the world of Warpgates is.

// tunnels is a Host at work.
type tunnels struct {
	*daemon.Host
	t    *testing.T
	w    *world
	hub  *event.Hub
	log  *testkit.Buffer
	stop context.CancelFunc
	done chan struct{}
	err  error
}

// hostTunnels runs a Host until the end of the test.
func (w *world) hostTunnels(dir string, change ...func(*daemon.Config)) *tunnels {
	w.t.Helper()
	h := &tunnels{t: w.t, w: w, hub: event.NewHub(time.Now), log: &testkit.Buffer{}, done: make(chan struct{})}
	cfg := daemon.Config{StateDir: dir, Kind: local.HostDaemon, Version: "1.2.3", Hub: h.hub, Log: slog.New(slog.NewTextHandler(h.log, nil))}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if h.Host, err = daemon.New(cfg); err != nil {
		w.t.Fatal(err)
	}
	if err := h.Listen(); err != nil {
		w.t.Fatal(err)
	}
	var ctx context.Context
	ctx, h.stop = context.WithCancel(context.Background())
	go func() {
		defer close(h.done)
		h.err = h.Run(ctx)
	}()
	w.t.Cleanup(func() {
		h.kill()
		if w.t.Failed() {
			w.t.Log("log of the host:\n" + h.log.String())
		}
	})
	return h
}

// kill ends the Host as SIGKILL would, as far as its files can tell.
func (h *tunnels) kill() {
	h.Close()
	h.stop()
	<-h.done
}

// end ends the Host in good order.
func (h *tunnels) end() {
	h.t.Helper()
	h.stop()
	<-h.done
	if h.err != nil {
		h.t.Error(h.err)
	}
}

// spec is a tunnel to an environment.
func (w *world) spec(environment string) mezu.TunnelSpec {
	return mezu.TunnelSpec{Profile: "acme", API: w.url(), CAFile: w.caFile, Organization: "acme", Project: "shop", Environment: environment,
		TunnelTarget: mezu.TunnelTarget{Target: "127.0.0.1:9"}}
}

// open opens a tunnel and enrols it if need be.
func (h *tunnels) open(spec mezu.TunnelSpec) local.Opened {
	h.t.Helper()
	o, err := h.Open(h.t.Context(), spec)
	if err != nil {
		h.t.Fatal(err)
	}
	if o.State == mezu.TunnelNeedsLogin {
		if o.Tunnel, err = h.Enrol(h.t.Context(), o.ID, h.w.enrolment(o.PublicKeySHA256)); err != nil {
			h.t.Fatal(err)
		}
	}
	return o
}

// becomes waits until a tunnel is in a state.
func (h *tunnels) becomes(id string, state mezu.TunnelState) (is mezu.Tunnel) {
	h.t.Helper()
	eventually(h.t, "tunnel "+string(state), func() bool {
		is, _ = h.Get(id)
		return is.State == state
	})
	return is
}

// detached is a spec of a tunnel that lives until it is stopped.
func detached(s mezu.TunnelSpec) mezu.TunnelSpec {
	s.Detached = true
	return s
}

func TestHost(t *testing.T) {
	w := newWorld(t, 2)
	dir := t.TempDir()
	h := w.hostTunnels(dir)
	o, err := h.Open(t.Context(), detached(w.spec("dev-ada")))
	if err != nil || o.State != mezu.TunnelNeedsLogin || o.Code != mezu.CodeUnauthenticated || len(o.PublicKeySHA256) != 64 || !o.New || o.Name != "shop/dev-ada" {
		t.Fatalf("%+v, %v", o, err)
	}
	if _, err := h.Enrol(t.Context(), o.ID, mezu.NewKey()); mezu.CodeOf(err) != mezu.CodeInvalid {
		t.Errorf("an API key: %v", err)
	}
	if _, err := h.Enrol(t.Context(), o.ID, mezu.TokenEnrolment+"bad"); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("an unknown token: %v", err)
	}
	if is := h.becomes(o.ID, mezu.TunnelNeedsLogin); is.PublicKeySHA256 != o.PublicKeySHA256 {
		t.Errorf("another key after a refusal: %+v", is)
	}
	o = h.open(detached(w.spec("dev-ada")))
	is := h.becomes(o.ID, mezu.TunnelLive)
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Probe(cut, o.ID); !errors.Is(err, context.Canceled) {
		t.Errorf("a probe that was cut off says how the workload is: %v", err)
	}
	if is.URL == "" || is.Warpgate == "" || len(is.Links) != 2 || is.Code != "" || is.Detail != "" {
		t.Errorf("%+v", is)
	}
	h.kill()
	h = w.hostTunnels(dir)
	again := h.becomes(o.ID, mezu.TunnelLive)
	if again.Warpgate != is.Warpgate || again.PublicKeySHA256 != is.PublicKeySHA256 || !again.CreatedAt.Equal(is.CreatedAt) {
		t.Errorf("after a kill %+v, before it %+v", again, is)
	}
	if err := h.Delete(t.Context(), o.ID); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "tunnels", o.ID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder: %v", err)
	}
	h.end()
}

// refusal checks code and words of an error.
func refusal(t *testing.T, err error, code mezu.Code, detail, hint string) {
	t.Helper()
	var e *mezu.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Detail, detail) || !strings.Contains(e.Hint, hint) {
		t.Errorf("error %v, not %s %q %q", err, code, detail, hint)
	}
}

// TestTheSameTunnelTwice: one with the same target is the same one.
func TestTheSameTunnelTwice(t *testing.T) {
	w := newWorld(t, 1)
	h := w.hostTunnels(t.TempDir())
	first := h.open(detached(w.spec("dev-ada")))
	again := h.open(w.spec("dev-ada"))
	if again.ID != first.ID || again.New || !again.Detached {
		t.Errorf("%+v", again)
	}
	other := w.spec("dev-ada")
	other.Target = "localhost:3000"
	_, err := h.Open(t.Context(), other)
	refusal(t, err, mezu.CodeConflict, "shop/dev-ada is open here already, to 127.0.0.1:9", "mezu tunnel show shop/dev-ada, or --name NAME")
	guarded := w.spec("dev-ada")
	guarded.HostHeader = mezu.HostTarget
	_, err = h.Open(t.Context(), guarded)
	refusal(t, err, mezu.CodeConflict, "to 127.0.0.1:9, with other settings", "")

	// Another organization's, or another control plane's, is another one, and names tell them apart.
	rival := w.spec("dev-ada")
	rival.Profile, rival.Organization = "rival", "rival"
	if o := h.open(rival); o.ID == first.ID || o.Name != "rival/shop/dev-ada" {
		t.Errorf("%+v", o)
	}
	if is, _ := h.Get(first.ID); is.Name != "acme/shop/dev-ada" {
		t.Errorf("name %s", is.Name)
	}
	if all := h.List(); len(all) != 2 || all[0].ID != first.ID {
		t.Errorf("%+v", all)
	}

	// What was stopped is not open: it takes another target.
	if is, err := h.Stop(t.Context(), first.ID, 0); err != nil || is.State != mezu.TunnelStopped || !is.Stopped {
		t.Errorf("%+v, %v", is, err)
	}
	if o := h.open(detached(other)); o.ID != first.ID || o.Target != "localhost:3000" || o.Stopped {
		t.Errorf("%+v", o)
	}
	is := h.becomes(first.ID, mezu.TunnelLive)
	to := mezu.TunnelTarget{Target: "localhost:4000"}
	if p, err := h.Patch(t.Context(), first.ID, local.TunnelPatch{Target: &to}); err != nil || p.Target != to.Target || p.Warpgate != is.Warpgate || p.State != mezu.TunnelLive {
		t.Errorf("%+v, %v", p, err)
	}
	to.Target = "ftp://x"
	_, err = h.Patch(t.Context(), first.ID, local.TunnelPatch{Target: &to})
	refusal(t, err, mezu.CodeInvalid, "", "")
	for _, f := range []func() error{
		func() error { _, err := h.Get("tun_x"); return err },
		func() error { _, err := h.Attach("tun_x"); return err },
		func() error { return h.Delete(t.Context(), "tun_x") },
	} {
		refusal(t, f(), mezu.CodeNotFound, "tun_x", "mezu tunnel list")
	}
}

// reads reads the stream of a tunnel until it ends.
func (h *tunnels) reads(id string) (events []local.Event) {
	h.t.Helper()
	r := h.hub.Reader(id, "")
	late := time.After(patience)
	for {
		more, wait := r.Take(events, 100)
		if events = more; wait == nil {
			return events
		}
		select {
		case <-wait:
		case <-late:
			h.t.Error("the stream doesn't end")
			return events
		}
	}
}

// TestAttach: a tunnel that isn't detached ends a moment after the last one who holds it, and
// comes back as the same Warpgate without a login.
func TestAttach(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	h := w.hostTunnels(dir)
	o := h.open(w.spec("dev-ada"))
	detach, err := h.Attach(o.ID)
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.Attach(o.ID)
	if err != nil {
		t.Fatal(err)
	}
	is := h.becomes(o.ID, mezu.TunnelLive)
	if is.Attached != 2 {
		t.Errorf("attached %d", is.Attached)
	}
	detach()
	detach()
	if is, _ := h.Get(o.ID); is.Attached != 1 {
		t.Errorf("after one left twice: attached %d", is.Attached)
	}
	read := make(chan []local.Event, 1)
	go func() { read <- h.reads(o.ID) }()
	began := time.Now()
	second()
	events := <-read
	if took := time.Since(began); took < local.AttachGrace {
		t.Errorf("ended after %v", took)
	}
	if n := len(events); n < 3 || events[n-1].Event.Event != local.EventTunnel || events[n-1].Record != nil || events[n-2].Event.Event != mezu.EventStopped || events[n-2].Tunnel != "shop/dev-ada" {
		t.Errorf("events %+v", events)
	}
	if all := h.List(); len(all) != 0 {
		t.Errorf("left %+v", all)
	}
	h.end()

	h = w.hostTunnels(dir)
	if all := h.List(); len(all) != 0 {
		t.Errorf("after a start %+v", all)
	}
	again, err := h.Open(t.Context(), w.spec("dev-ada"))
	if err != nil || again.ID != o.ID || again.Warpgate != is.Warpgate || again.PublicKeySHA256 != is.PublicKeySHA256 || !again.New {
		t.Errorf("%+v, %v", again, err)
	}
	h.becomes(o.ID, mezu.TunnelLive)
	registers, _ := w.counts()
	if registers != 1 {
		t.Errorf("registered %d times", registers)
	}
}

// TestHeldTunnelAfterAKill: it waits for the command that held it, and serves nobody before.
func TestHeldTunnelAfterAKill(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	h := w.hostTunnels(dir)
	o := h.open(w.spec("dev-ada"))
	if _, err := h.Attach(o.ID); err != nil {
		t.Fatal(err)
	}
	is := h.becomes(o.ID, mezu.TunnelLive)
	h.kill()
	h = w.hostTunnels(dir)
	eventually(t, "no session at the edge", func() bool { return w.edges[0].hub.PickBut(w.env, nil) == nil })
	if is, err := h.Get(o.ID); err != nil || is.State != mezu.TunnelStarting || is.Detail == "" {
		t.Errorf("%+v, %v", is, err)
	}
	if _, err := h.Attach(o.ID); err != nil {
		t.Fatal(err)
	}
	if again := h.becomes(o.ID, mezu.TunnelLive); again.Warpgate != is.Warpgate {
		t.Errorf("%+v", again)
	}
}

// TestNeedsLogin: whatever ends a certificate, the tunnel is never gone, and a token brings it
// back.
func TestNeedsLogin(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	var clock testkit.Clock
	sameTime := func(c *daemon.Config) { c.Now = clock.Now }
	h := w.hostTunnels(dir, sameTime)
	o := h.open(detached(w.spec("dev-ada")))
	is := h.becomes(o.ID, mezu.TunnelLive)
	h.end()

	// The machine was off for nine days.
	clock.Advance(9 * 24 * time.Hour)
	w.real.Advance(9 * 24 * time.Hour)
	w.edges[0].kill()
	w.edges = nil
	w.setEdges(w.addEdge()) // with a certificate that is good today
	h = w.hostTunnels(dir, sameTime)
	off, err := h.Open(t.Context(), detached(w.spec("dev-ada")))
	if err != nil || off.State != mezu.TunnelNeedsLogin || off.Code != mezu.CodeUnauthenticated || !strings.HasPrefix(off.Detail, "its certificate ended") || !strings.Contains(off.Hint, "--profile acme") {
		t.Errorf("%+v, %v", off.Tunnel, err)
	}
	if off.PublicKeySHA256 != is.PublicKeySHA256 {
		t.Error("the key is another one")
	}
	if is, err := h.Start(t.Context(), o.ID); err != nil || is.State != mezu.TunnelNeedsLogin {
		t.Errorf("started: %+v, %v", is, err)
	}
	h.open(detached(w.spec("dev-ada")))
	if again := h.becomes(o.ID, mezu.TunnelLive); again.Warpgate != is.Warpgate {
		t.Errorf("%+v", again)
	}

	// Somebody revokes its certificate: its key is worth nothing any more.
	w.mu.Lock()
	serial := w.serial
	w.mu.Unlock()
	w.edges[len(w.edges)-1].hub.Push(w.env, w.revoke(serial))
	revoked := h.becomes(o.ID, mezu.TunnelNeedsLogin)
	if revoked.Code != mezu.CodeForbidden || !strings.Contains(revoked.Detail, "revoked") {
		t.Errorf("%+v", revoked)
	}
	if revoked.PublicKeySHA256 == is.PublicKeySHA256 {
		t.Error("the key of a revoked certificate is used again")
	}
	h.open(detached(w.spec("dev-ada")))
	if again := h.becomes(o.ID, mezu.TunnelLive); again.Warpgate == is.Warpgate || again.ID != o.ID {
		t.Errorf("%+v", again)
	}

	// A token that was made for another key.
	token := w.enrolment(strings.Repeat("0", 64))
	_, err = h.Enrol(t.Context(), o.ID, token)
	refusal(t, err, mezu.CodeForbidden, "another key", "")
	h.becomes(o.ID, mezu.TunnelLive)
}

// TestTokensAreNotKept: of what was handed over nothing is in the folder or the log.
func TestTokensAreNotKept(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	h := w.hostTunnels(dir)
	o, err := h.Open(t.Context(), detached(w.spec("dev-ada")))
	if err != nil {
		t.Fatal(err)
	}
	tokens := []string{mezu.NewKey(), mezu.TokenEnrolment + "not-known", w.enrolment(o.PublicKeySHA256)}
	for _, token := range tokens {
		h.Enrol(t.Context(), o.ID, token)
	}
	h.becomes(o.ID, mezu.TunnelLive)
	h.end()
	text := h.log.String()
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var content []byte
			content, err = os.ReadFile(path)
			text += string(content)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range tokens {
		if strings.Contains(text, token) {
			t.Errorf("%s is kept", token)
		}
	}
}

// TestD8_DamagedTunnels: those that were not touched go on; a damaged one keeps its key and
// certificate, and comes back when it is asked for again.
func TestD8_DamagedTunnels(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	h := w.hostTunnels(dir)
	first, second := h.open(detached(w.spec("dev-ada"))), h.open(detached(w.spec("dev-bob")))
	h.becomes(first.ID, mezu.TunnelLive)
	is := h.becomes(second.ID, mezu.TunnelLive)
	h.end()
	file := filepath.Join(dir, "tunnels.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := text[:len(text)-20]
	if err := os.WriteFile(file, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	h = w.hostTunnels(dir)
	h.becomes(first.ID, mezu.TunnelLive)
	if st := h.Status(); st.Tunnels != 1 || len(st.Damaged) != 1 || st.Damaged[0] != "shop/dev-bob" {
		t.Errorf("%+v", st)
	}
	again, err := h.Open(t.Context(), detached(w.spec("dev-bob")))
	if err != nil || again.ID != second.ID || again.Warpgate != is.Warpgate || again.PublicKeySHA256 != is.PublicKeySHA256 {
		t.Errorf("%+v, %v", again, err)
	}
	h.becomes(second.ID, mezu.TunnelLive)
	if registers, _ := w.counts(); registers != 2 {
		t.Errorf("registered %d times", registers)
	}
	if st := h.Status(); len(st.Damaged) != 0 {
		t.Errorf("still damaged %q", st.Damaged)
	}
	copies, _ := filepath.Glob(file + ".damaged-*")
	if len(copies) != 1 {
		t.Fatalf("copies %q", copies)
	}
	if kept, err := os.ReadFile(copies[0]); err != nil || string(kept) != string(bad) {
		t.Errorf("the copy: %q, %v", kept, err)
	}
}

func TestTwoHosts(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	w.hostTunnels(dir)
	second, err := daemon.New(daemon.Config{StateDir: dir, Hub: event.NewHub(time.Now)})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := second.Listen(); !errors.Is(err, asked.ErrLocked) {
		t.Errorf("error %v", err)
	} else {
		refusal(t, err, mezu.CodeConflict, dir, "mezu daemon status")
	}
}

// TestHundredTunnels: as many as there can be, and they are all back after a kill.
func TestHundredTunnels(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	h := w.hostTunnels(dir)
	live := func() int {
		n := 0
		for _, is := range h.List() {
			if is.State == mezu.TunnelLive {
				n++
			}
		}
		return n
	}
	for i := range mezu.MaxTunnels {
		h.open(detached(w.spec(fmt.Sprintf("dev-%d", i))))
	}
	_, err := h.Open(t.Context(), detached(w.spec("dev-more")))
	refusal(t, err, mezu.CodeConflict, "100 tunnels", "mezu tunnel rm")
	eventually(t, "all live", func() bool { return live() == mezu.MaxTunnels })
	h.kill()
	h = w.hostTunnels(dir)
	eventually(t, "all back", func() bool { return live() == mezu.MaxTunnels })
	if registers, _ := w.counts(); registers != mezu.MaxTunnels {
		t.Errorf("registered %d times", registers)
	}
	h.end()
}

// TestGivenTunnel: it is the host's own.
func TestGivenTunnel(t *testing.T) {
	w := newWorld(t, 1)
	events := make(chan mezu.Event, 1000)
	given := w.config(t.TempDir())
	given.Events = func(e mezu.Event) { events <- e }
	h := w.hostTunnels(t.TempDir(), func(c *daemon.Config) {
		c.Given = []daemon.Given{{Spec: w.spec("production"), Warpgate: given}}
		c.IdleEnd = time.Nanosecond // it is never idle
	})
	is := h.List()[0]
	h.becomes(is.ID, mezu.TunnelLive)
	_, err := h.Stop(t.Context(), is.ID, 0)
	refusal(t, err, mezu.CodeConflict, "shop/production lives as long as mezu dev", "--name NAME")
	refusal(t, h.Delete(t.Context(), is.ID), mezu.CodeConflict, "can't be removed", "")
	if o := h.open(w.spec("production")); o.ID != is.ID || o.New {
		t.Errorf("%+v", o)
	}
	detach, err := h.Attach(is.ID)
	if err != nil {
		t.Fatal(err)
	}
	detach()
	e := <-events
	if e.Event != mezu.EventConfig && e.Event != mezu.EventWarpgate && e.Event != mezu.EventError {
		t.Errorf("event %+v", e)
	}
	if _, err := os.Stat(filepath.Join(given.StateDir, "identity.key")); err != nil {
		t.Error(err)
	}
	h.end()

	// One that can't go on ends the host, as it would end a process of its own.
	w.mu.Lock()
	w.key = mezu.NewKey()
	w.mu.Unlock()
	given.StateDir = t.TempDir()
	old := w.key
	given.Token = func() (string, error) { return mezu.NewKey(), nil }
	h = w.hostTunnels(t.TempDir(), func(c *daemon.Config) { c.Given = []daemon.Given{{Spec: w.spec("production"), Warpgate: given}} })
	<-h.done
	if mezu.CodeOf(h.err) != mezu.CodeUnauthenticated || old == "" {
		t.Errorf("error %v", h.err)
	}
}

// TestIdleEnd: the process ends when there is nothing to do.
func TestIdleEnd(t *testing.T) {
	w := newWorld(t, 1)
	h := w.hostTunnels(t.TempDir(), func(c *daemon.Config) { c.IdleEnd = 10 * time.Millisecond })
	release := h.Hold()
	o := h.open(detached(w.spec("dev-ada")))
	h.becomes(o.ID, mezu.TunnelLive)
	release()
	if err := h.Delete(t.Context(), o.ID); err != nil {
		t.Fatal(err)
	}
	<-h.done
	if h.err != nil {
		t.Error(h.err)
	}
	_, err := h.Open(t.Context(), w.spec("dev-ada"))
	refusal(t, err, mezu.CodeUnavailable, "the daemon is ending", "")
	_, err = h.Get(o.ID)
	refusal(t, err, mezu.CodeUnavailable, "ending", "")
}

// TestShutdown: streams say whether somebody else takes over.
func TestShutdown(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w := newWorld(t, 1)
		h := w.hostTunnels(t.TempDir())
		o := h.open(w.spec("dev-ada"))
		if _, err := h.Attach(o.ID); err != nil {
			t.Fatal(err)
		}
		h.becomes(o.ID, mezu.TunnelLive)
		r := h.hub.Reader(o.ID, "")
		if err := h.Shutdown(local.Shutdown{Restart: restart, Idle: true}); err != nil {
			t.Fatal(err)
		}
		<-h.Done()
		<-h.done
		events, _ := r.Take(nil, 100)
		stopped := slices.ContainsFunc(events, func(e local.Event) bool { return e.Event.Event == mezu.EventStopped })
		if stopped == restart || h.err != nil {
			t.Errorf("restart %v: stopped %v, %v", restart, stopped, h.err)
		}
	}
}

// TestWake: on another network the links are looked at, and those that are dead are replaced.
func TestWake(t *testing.T) {
	w := newWorld(t, 0)
	e, n := w.behind()
	var addresses atomic.Pointer[[]string]
	addresses.Store(&[]string{"192.0.2.1/24"})
	h := w.hostTunnels(t.TempDir(), func(c *daemon.Config) {
		c.Wake.Addresses = func() ([]string, error) { return slices.Clone(*addresses.Load()), nil }
	})
	o := h.open(detached(w.spec("dev-ada")))
	h.becomes(o.ID, mezu.TunnelLive)
	before := e.since(t)
	n.pull()
	n.plug()
	addresses.Store(&[]string{"198.51.100.1/24"})
	e.anew(t, before, func() {})
	h.becomes(o.ID, mezu.TunnelLive)
}

// TestControlPlaneAway: the tunnel goes on, and says since when nobody answers there.
func TestControlPlaneAway(t *testing.T) {
	w := newWorld(t, 1)
	var clock testkit.Clock
	var addresses atomic.Pointer[[]string]
	moves := func(to string) { addresses.Store(&[]string{to}) }
	moves("192.0.2.1/24")
	h := w.hostTunnels(t.TempDir(), func(c *daemon.Config) {
		c.Now = clock.Now
		c.Wake.Addresses = func() ([]string, error) { return slices.Clone(*addresses.Load()), nil }
	})
	o := h.open(detached(w.spec("dev-ada")))
	h.becomes(o.ID, mezu.TunnelLive)
	away := func() (since time.Time) {
		is, err := h.Get(o.ID)
		if err != nil || is.State != mezu.TunnelLive {
			t.Errorf("%+v, %v", is, err)
		}
		return is.ControlAway
	}
	if since := away(); !since.IsZero() {
		t.Errorf("away since %v", since)
	}
	w.stopAPI()
	clock.Advance(mezu.RenewAge + 3*time.Hour) // a renewal is due
	moves("198.51.100.1/24")
	eventually(t, "away", func() bool { return !away().IsZero() })
	w.startAPI(w.addr)
	moves("203.0.113.1/24")
	eventually(t, "back", func() bool { return away().IsZero() })
}

// TestStatesAreTold: which link is lost, and what that makes of the tunnel, is told as it happens.
func TestStatesAreTold(t *testing.T) {
	w := newWorld(t, 2)
	h := w.hostTunnels(t.TempDir())
	o := h.open(detached(w.spec("dev-ada")))
	h.becomes(o.ID, mezu.TunnelLive)
	r := h.hub.Reader(o.ID, "")
	told := func(what string, match func(local.Event) bool) {
		t.Helper()
		eventually(t, what, func() bool {
			events, _ := r.Take(nil, 100)
			return slices.ContainsFunc(events, match)
		})
	}
	w.edges[0].kill()
	lost := w.edges[0].info.ID
	told("the link that is lost", func(e local.Event) bool {
		return e.Link != nil && e.Link.Edge == lost && e.Link.State != mezu.LinkConnected
	})
	if is := h.becomes(o.ID, mezu.TunnelPartly); is.Detail == "" {
		t.Errorf("%+v", is)
	}
	w.edges[1].kill()
	told("down", func(e local.Event) bool {
		return e.Event.Event == local.EventTunnel && e.Record != nil && e.Record.State == mezu.TunnelDown
	})
	if is := h.becomes(o.ID, mezu.TunnelDown); is.Detail == "" || is.URL == "" {
		t.Errorf("%+v", is)
	}
	w.stopAPI() // and nobody tells where other edges are
}

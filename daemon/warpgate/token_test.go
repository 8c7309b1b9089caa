package warpgate_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/testkit"
)

// listen makes a Warpgate that holds its state directory and doesn't run.
func (w *world) listen(cfg warpgate.Config) (made *warpgate.Warpgate, key string) {
	w.t.Helper()
	made, err := warpgate.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { made.Close() })
	if err := made.Listen(); err != nil {
		w.t.Fatal(err)
	}
	if key, err = made.KeySHA256(); err != nil || len(key) != 64 {
		w.t.Fatalf("key %q, %v", key, err)
	}
	return made, key
}

// tokenless is a configuration without a token.
func (w *world) tokenless(dir string) warpgate.Config {
	cfg := w.config(dir)
	cfg.Token = nil
	return cfg
}

// needsToken asserts that an error asks for another token, in words for people too.
func needsToken(t *testing.T, err error, code mezu.Code) {
	t.Helper()
	var e *mezu.Error
	if !errors.Is(err, warpgate.ErrNeedsToken) || !errors.As(err, &e) || e.Code != code || errors.Is(err, warpgate.ErrRevoked) {
		t.Fatalf("error %v, want one that asks for a token, with %s", err, code)
	}
}

func TestEnrol(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	if _, err := new(warpgate.Warpgate).KeySHA256(); err == nil {
		t.Error("a key without a state directory")
	}
	g := w.start(w.tokenless(dir))
	needsToken(t, g.wait(), mezu.CodeUnauthenticated)
	g.event("the end", func(e mezu.Event) bool { return e.Event == mezu.EventStopped && e.Code == mezu.CodeUnauthenticated })

	// Another one for the same directory has the same key, and takes a token before it runs.
	made, key := w.listen(w.tokenless(dir))
	needsToken(t, made.Enrol(t.Context(), mezu.TokenEnrolment+"unknown"), mezu.CodeUnauthenticated)
	needsToken(t, made.Enrol(t.Context(), w.enrolment("of another key")), mezu.CodeForbidden)
	token := w.enrolment(key)
	if err := made.Enrol(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	id := made.Snapshot().ID
	needsToken(t, made.Enrol(t.Context(), token), mezu.CodeUnauthenticated) // it is used up
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	before, _ := w.counts()
	g = w.start(w.tokenless(dir))
	g.ready()
	if got := g.ID(); got != id {
		t.Errorf("it runs as %s, enrolled was %s", got, id)
	}
	if after, _ := w.counts(); after != before {
		t.Error("it registered again")
	}

	// While it runs, it goes on with the new certificate as the same Warpgate.
	c := w.edges[0].checkout(t, w.env)
	w.mu.Lock()
	serial := w.serial
	w.mu.Unlock()
	if err := g.Enrol(t.Context(), w.enrolment(key)); err != nil {
		t.Fatal(err)
	}
	if w.mu.Lock(); w.serial == serial {
		t.Error("no new certificate")
	}
	w.mu.Unlock()
	if got := exchange(t, c, "still here\n"); got != "still here\n" || g.ID() != id {
		t.Errorf("answer %q, id %s", got, g.ID())
	}
	c.Release()
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	if err := g.Enrol(t.Context(), token); err == nil {
		t.Error("enrolled after the end")
	}
}

// A token that Config gives is used once, at a start without a certificate.
func TestEnrol_ByTheTokenOfTheConfiguration(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	made, key := w.listen(w.tokenless(dir))
	made.Close()
	token := w.enrolment(key)
	cfg := w.config(dir)
	cfg.Token = func() (string, error) { return token, nil }
	for range 2 {
		g := w.start(cfg)
		g.ready()
		if err := g.stop(); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := w.counts(); n != 1 {
		t.Fatalf("%d registrations", n)
	}

	// Another one may let it into another environment. It doesn't keep it from serving
	// while the control plane is away.
	token = w.enrolment(key)
	w.stopAPI()
	g := w.start(cfg)
	g.ready()
	id := g.ID()
	w.edges[0].ping(t, w.env)
	w.mu.Lock()
	w.env = mezu.NewID("env", time.Now())
	w.mu.Unlock()
	w.setBundle(w.env, "/")
	w.mu.Lock()
	delete(w.known, id)
	w.mu.Unlock()
	w.startAPI(w.addr)
	eventually(t, "another identity", func() bool { return g.ID() != id })
	g.ready()
	w.edges[0].ping(t, w.env)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}

	// One that is refused changes nothing while there is a certificate.
	token = w.enrolment("of another key")
	g = w.start(cfg)
	g.event("the refusal", isError(mezu.CodeForbidden, "another key"))
	g.ready()
	before, _ := w.counts()
	w.edges[0].ping(t, w.env)
	g.clock.Advance(mezu.RenewAge + 3*time.Hour)
	eventually(t, "a renewal", func() bool { _, n := w.counts(); return n > 0 })
	if after, _ := w.counts(); after != before {
		t.Errorf("%d registrations after the refusal", after-before)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
}

// A machine that was off for longer than its certificate lives comes back as the same
// Warpgate, once somebody has a token made for it.
func TestEnrol_AfterTheCertificateEnded(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	made, key := w.listen(w.tokenless(dir))
	if err := made.Enrol(t.Context(), w.enrolment(key)); err != nil {
		t.Fatal(err)
	}
	made.Close()
	g := w.start(w.tokenless(dir))
	g.ready()
	id := g.ID()
	w.mu.Lock()
	w.refuse = func(op string) *mezu.Error {
		if op == "renew" {
			return mezu.Errorf(mezu.CodeUnauthenticated, "the certificate has expired")
		}
		return nil
	}
	w.mu.Unlock()
	// As long as it is good, a refusal ends nothing.
	g.clock.Advance(mezu.RenewAge + 3*time.Hour)
	g.event("the refusal", isError(mezu.CodeUnauthenticated, "has expired"))
	w.edges[0].ping(t, w.env)
	g.clock.Advance(mezu.LeafLife)
	needsToken(t, g.wait(), mezu.CodeUnauthenticated)
	if s := g.Snapshot(); s.ID != id || s.Organization != "acme" {
		t.Errorf("after the end: %+v", s)
	}

	cfg := w.tokenless(dir)
	cfg.Now = g.clock.Now
	again := w.start(cfg)
	needsToken(t, again.wait(), mezu.CodeUnauthenticated)
	w.real.Advance(mezu.RenewAge + 3*time.Hour + mezu.LeafLife)
	made, same := w.listen(cfg)
	if same != key {
		t.Fatal("the key is another one")
	}
	if err := made.Enrol(t.Context(), w.enrolment(key)); err != nil {
		t.Fatal(err)
	}
	made.Close()
	again = w.start(cfg)
	eventually(t, "its old identity", func() bool { return again.Snapshot().ID == id })
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
}

// Enrol says at once that the control plane is away; nothing is lost by it.
func TestEnrol_WithoutTheControlPlane(t *testing.T) {
	w := newWorld(t, 1)
	made, key := w.listen(w.tokenless(t.TempDir()))
	token := w.enrolment(key)
	w.stopAPI()
	if err := made.Enrol(t.Context(), token); err == nil || errors.Is(err, warpgate.ErrNeedsToken) {
		t.Fatalf("enrolled: %v", err)
	}
	if away := made.Snapshot().Away; away.Since.IsZero() || away.Err == nil {
		t.Errorf("away: %+v", away)
	}
	w.startAPI(w.addr)
	if err := made.Enrol(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if away := made.Snapshot().Away; !away.Since.IsZero() {
		t.Errorf("away: %+v", away)
	}
}

// A revoked Warpgate, and one of another installation, are helped by no token.
func TestEnrol_WhatNoTokenMends(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	g := w.start(w.config(dir))
	g.ready()
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	root, serial := w.root, w.serial
	w.root = make([]byte, len(root))
	cfg := w.config(dir)
	cfg.Environment = "staging" // so that it registers
	g = w.start(cfg)
	if err := g.wait(); !errors.Is(err, warpgate.ErrOtherRoot) || errors.Is(err, warpgate.ErrNeedsToken) {
		t.Fatalf("another trust root: %v", err)
	}
	w.root = root
	g = w.start(w.config(dir))
	g.ready()
	w.edges[0].hub.Push("", w.revoke(serial))
	if err := g.wait(); !errors.Is(err, warpgate.ErrRevoked) || errors.Is(err, warpgate.ErrNeedsToken) {
		t.Fatalf("revoked: %v", err)
	}
	made, key := w.listen(w.config(dir))
	if err := made.Enrol(t.Context(), w.enrolment(key)); !errors.Is(err, warpgate.ErrRevoked) {
		t.Fatalf("enrolled although revoked: %v", err)
	}
}

// A token is for one registration: its answer is kept, whatever else ends meanwhile.
func TestEnrol_WhileRunGivesUp(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	made, key := w.listen(w.tokenless(dir))
	token := w.enrolment(key)
	asked, answer := make(chan struct{}), make(chan struct{})
	w.mu.Lock()
	w.refuse = func(string) *mezu.Error {
		close(asked)
		w.mu.Unlock()
		<-answer
		w.mu.Lock()
		return nil
	}
	w.mu.Unlock()
	enrolled := make(chan error, 1)
	go func() { enrolled <- made.Enrol(t.Context(), token) }()
	<-asked
	made.TestOnlyServe(echo)
	g := &gate{Warpgate: made, t: t, done: make(chan struct{}), log: &testkit.Buffer{}}
	g.run(made.Run) // without a token of its own: it would give up
	made.Wake()
	if s := made.Snapshot(); s.ID != "" || s.Ready {
		t.Errorf("before the answer: %+v", s)
	}
	w.mu.Lock()
	w.refuse = nil
	w.mu.Unlock()
	close(answer)
	if err := <-enrolled; err != nil {
		t.Fatal(err)
	}
	g.ready()
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	if made.Listen() == nil {
		t.Error("it was opened again")
	}
}

// Close ends an Enrol that gets no answer.
func TestEnrol_EndsWithClose(t *testing.T) {
	w := newWorld(t, 1)
	made, key := w.listen(w.tokenless(t.TempDir()))
	token := w.enrolment(key)
	asked, answer := make(chan struct{}), make(chan struct{})
	w.refuse = func(string) *mezu.Error { close(asked); <-answer; return nil }
	defer close(answer)
	enrolled := make(chan error, 1)
	go func() { enrolled <- made.Enrol(t.Context(), token) }()
	<-asked
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-enrolled; err == nil {
		t.Fatal("enrolled")
	}
}

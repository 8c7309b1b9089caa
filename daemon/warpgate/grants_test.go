package warpgate_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/assertion"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/grant"
)

// TestT11_StatementsEndSessions: what the control plane ends, whichever edge relays that, is
// cut here, and grants of before a restore with it.
func TestT11_StatementsEndSessions(t *testing.T) {
	w := newWorld(t, 1)
	made := make(chan forward.Config, 1)
	g := w.start(w.config(t.TempDir()), func(g *gate) { g.TestOnlyForwarding(made) })
	g.ready()
	cfg := <-made
	edge := w.edges[0]
	edge.applied(t, positionOf(t, w.bundle))

	directory := mezu.NewID(mezu.PrefixDirectory, time.Now())
	cuts := make(chan struct{}, 1)
	begin := func() (mezu.Grant, *grant.Use) {
		t.Helper()
		now := time.Now()
		is := mezu.Grant{Session: mezu.NewID(mezu.PrefixSession, now), User: mezu.NewID(mezu.PrefixUser, now), Directory: directory, Environment: w.env, Epoch: 1,
			Method: mezu.MethodPassword, Email: "ann@example.com", AuthTime: now, IssuedAt: now, FreshUntil: now, IdleUntil: now.Add(time.Hour), NotAfter: now.Add(time.Hour)}
		signed := w.sign(mezu.PurposeGrant, is)
		v, err := cfg.Grants.Verify(signed.AppendCompact(nil), w.env, directory, cfg.Table().Position().Epoch, cfg.Now())
		if err != nil {
			t.Fatal(err)
		}
		u := &grant.Use{Cut: func() { cuts <- struct{}{} }}
		if !cfg.Uses.Begin(u, v.Grant) {
			t.Fatal("the session is ended already")
		}
		return is, u
	}
	cut := func(u *grant.Use) {
		t.Helper()
		select {
		case <-cuts:
		case <-time.After(patience):
			t.Fatal("nothing was cut")
		}
		cfg.Uses.End(u)
	}
	at := func() mezu.Position {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.next()
	}

	is, u := begin()
	edge.hub.Push("", w.sign(mezu.PurposeRevocation, mezu.Revocation{Position: at(), Kind: mezu.RevokeSession, Subject: is.Session, Scope: w.env, Until: is.NotAfter}))
	cut(u)
	is, u = begin()
	edge.hub.Push("", w.sign(mezu.PurposeRevocation, mezu.Revocation{Position: at(), Kind: mezu.RevokeUser, Subject: is.User, Scope: directory, NotBefore: is.IssuedAt.Add(time.Second), Until: is.NotAfter}))
	cut(u)
	eventually(t, "a word in the log", func() bool { return strings.Contains(g.log.String(), "requests of ended sessions were cut") })

	_, u = begin()
	b, err := w.anchor.OpenBundle(w.bundle)
	if err != nil {
		t.Fatal(err)
	}
	b.Position = mezu.Position{Epoch: 2, Revision: 1}
	edge.hub.Push("", w.sign(mezu.PurposeBundle, b))
	cut(u)
	if n := cfg.Uses.Len(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// TestAssertions_ByAListedKey: a Warpgate signs by the key that it had certified, once it is in
// the list that workloads go by, and no longer than that.
func TestAssertions_ByAListedKey(t *testing.T) {
	w := newWorld(t, 1)
	made := make(chan forward.Config, 1)
	dir := t.TempDir()
	g := w.start(w.config(dir), func(g *gate) { g.TestOnlyForwarding(made) })
	g.ready()
	cfg := <-made
	edge := w.edges[0]
	edge.applied(t, positionOf(t, w.bundle))

	// What it asked to have certified is proved.
	w.mu.Lock()
	asked := w.registers[0]
	w.mu.Unlock()
	block, _ := pem.Decode([]byte(asked.CSR))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := mezu.CheckAssertionKey(asked.AssertionKey, csr.RawSubjectPublicKeyInfo, asked.AssertionProof); err != nil {
		t.Fatal(err)
	}

	now := time.Now()
	is := mezu.Grant{Session: mezu.NewID(mezu.PrefixSession, now), User: mezu.NewID(mezu.PrefixUser, now), Directory: mezu.NewID(mezu.PrefixDirectory, now), Environment: w.env, Epoch: 1,
		Method: mezu.MethodPassword, Email: "ann@example.com", Roles: []string{"staff"}, AuthTime: now, IssuedAt: now, FreshUntil: now, IdleUntil: now.Add(time.Hour), NotAfter: now.Add(time.Hour)}
	signed := w.sign(mezu.PurposeGrant, is)
	v, err := cfg.Grants.Verify(signed.AppendCompact(nil), w.env, is.Directory, 1, cfg.Now())
	if err != nil {
		t.Fatal(err)
	}
	if text := cfg.Assert(v); text != nil {
		t.Fatalf("signed by a key that nobody can find: %s", text)
	}
	other, _, _ := ed25519.GenerateKey(nil)
	push := func(environment string, keys ...mezu.AssertionKey) mezu.Signed {
		w.mu.Lock()
		s := w.sign(mezu.PurposeAssertions, mezu.AssertionKeys{Position: w.next(), Environment: environment, Keys: keys})
		w.mu.Unlock()
		edge.hub.Push("", s)
		return s
	}
	key := func(k ed25519.PublicKey) mezu.AssertionKey {
		return mezu.AssertionKey{Key: k, Warpgate: mezu.NewID(mezu.PrefixWarpgate, now)}
	}
	old := push(w.env, key(other))
	push(mezu.NewID(mezu.PrefixEnvironment, now), key(asked.AssertionKey))
	eventually(t, "a word about another environment's keys", func() bool { return strings.Contains(g.log.String(), "another environment") })
	if text := cfg.Assert(v); text != nil {
		t.Fatalf("signed by a key that is not listed: %s", text)
	}

	push(w.env, key(other), key(asked.AssertionKey))
	eventually(t, "the key to be used", func() bool { return cfg.Assert(v) != nil })
	keys := &assertion.Keys{Keys: assertion.List([]mezu.AssertionKey{key(other), key(asked.AssertionKey)})}
	const url = "https://shop-acme.localhost:8443"
	claims, err := assertion.Check(string(cfg.Assert(v)), keys, url, w.env, cfg.Now())
	if err != nil || claims.Subject != is.User || claims.Email != is.Email || claims.Session != is.Session {
		t.Errorf("%+v, %v", claims, err)
	}
	edge.hub.Push("", old)
	eventually(t, "the older list to be refused", func() bool { return strings.Contains(g.log.String(), "is older than") })
	if cfg.Assert(v) == nil {
		t.Error("an older list ends the key")
	}
	// After a restart it signs from the first request on.
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	g = w.start(w.config(dir), func(g *gate) { g.TestOnlyForwarding(made) })
	if cfg = <-made; cfg.Assert(v) == nil {
		t.Error("a restart ends the key")
	}
	edge.applied(t, positionOf(t, w.bundle))
	ended := key(asked.AssertionKey)
	ended.Until = now.Add(mezu.AssertionKeyRest)
	push(w.env, ended)
	eventually(t, "the key to be used no longer", func() bool { return cfg.Assert(v) == nil })
}

// An earlier control plane certifies no keys for assertions. The Warpgate goes without.
func TestRegister_AtAnEarlierControlPlane(t *testing.T) {
	w := newWorld(t, 1)
	w.refuse = func(op string) *mezu.Error {
		if op == "register" && len(w.registers[len(w.registers)-1].AssertionKey) > 0 {
			return mezu.Invalid("assertion_key", "is not a field that this version knows")
		}
		return nil
	}
	g := w.start(w.config(t.TempDir()))
	g.ready()
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.registers); n != 2 || len(w.registers[1].AssertionKey)+len(w.registers[1].AssertionProof) > 0 {
		t.Errorf("%d registrations, the last %+v", n, w.registers[n-1])
	}
}

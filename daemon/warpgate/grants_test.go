package warpgate_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
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

package grant_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/grant"
)

func TestIndex(t *testing.T) {
	a := newAuthority(t)
	x := grant.NewIndex(a.Anchor.GrantRevoked)
	end := func(r mezu.Revocation) int {
		r.Until = start.AddDate(0, 1, 0)
		a.Anchor.Revoke(&r)
		return x.Ended(&r)
	}
	ann, bob := a.session(0, shop), a.session(1, shop)
	again := ann // another session of the same user, later
	again.Session = mezu.NewID(mezu.PrefixSession, start)
	again.IssuedAt = start.Add(time.Hour)
	foreign := a.session(2, blog)
	foreign.Directory = mezu.NewID(mezu.PrefixDirectory, start)
	cuts := map[string]int{}
	uses := map[string]*grant.Use{}
	for name, g := range map[string]*mezu.Grant{"ann": &ann, "ann too": &ann, "ann again": &again, "bob": &bob, "foreign": &foreign} {
		uses[name] = &grant.Use{Cut: func() { cuts[name]++ }}
		if !x.Begin(uses[name], g) {
			t.Fatal(name)
		}
	}
	if x.Len() != 5 {
		t.Fatal(x.Len())
	}
	x.End(uses["ann too"])
	x.End(uses["ann too"])
	if n := end(mezu.Revocation{Kind: mezu.RevokeSession, Subject: ann.Session}); n != 1 || cuts["ann"] != 1 || len(cuts) != 1 {
		t.Error(n, cuts)
	}
	if n := end(mezu.Revocation{Kind: mezu.RevokeSession, Subject: ann.Session}); n != 0 {
		t.Error("cut twice")
	}
	if n := end(mezu.Revocation{Kind: mezu.RevokeUser, Subject: ann.User, NotBefore: start.Add(time.Minute)}); n != 0 {
		t.Error("a later session of the user was cut", cuts)
	}
	if n := end(mezu.Revocation{Kind: mezu.RevokeUser, Subject: ann.User, NotBefore: start.Add(2 * time.Hour)}); n != 1 || cuts["ann again"] != 1 {
		t.Error(n, cuts)
	}
	if x.Begin(uses["ann too"], &again) {
		t.Error("a revoked grant begins a use")
	}
	if n := end(mezu.Revocation{Kind: mezu.RevokeDirectory, Subject: directory, NotBefore: start.Add(2 * time.Hour)}); n != 1 || cuts["bob"] != 1 || cuts["foreign"] != 0 {
		t.Error(n, cuts)
	}
	if n := end(mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: "1"}); n != 0 {
		t.Error(n)
	}
	if n := x.Sweep(foreign.NotAfter, foreign.Epoch); n != 0 {
		t.Error(n)
	}
	if n := x.Sweep(foreign.NotAfter, foreign.Epoch+1); n != 4-3 || cuts["foreign"] != 1 {
		t.Error(n, cuts)
	}
	for _, u := range uses {
		x.End(u)
	}
	if x.Len() != 0 {
		t.Error(x.Len())
	}
}

// TestT11_ExpiryCutsStreams: the sweep finds what has outlived its session.
func TestT11_ExpiryCutsStreams(t *testing.T) {
	a := newAuthority(t)
	x := grant.NewIndex(a.Anchor.GrantRevoked)
	g, longer := a.session(0, shop), a.session(1, shop)
	longer.NotAfter = longer.NotAfter.Add(time.Hour)
	cut := 0
	u, other := &grant.Use{Cut: func() { cut++ }}, &grant.Use{Cut: func() { t.Error("cut before its end") }}
	x.Begin(u, &g)
	x.Begin(other, &longer)
	if x.Sweep(g.NotAfter.Add(time.Second), 0) != 1 || cut != 1 {
		t.Error(cut)
	}
	if 2*grant.SweepEvery > time.Minute {
		t.Error("a stream outlives its session by more than a minute")
	}
}

// TestIndex_NothingSlipsThrough: whatever comes first, a use and the revocation of its
// session, the use ends.
func TestIndex_NothingSlipsThrough(t *testing.T) {
	a := newAuthority(t)
	x := grant.NewIndex(a.Anchor.GrantRevoked)
	for i := range 300 {
		g := a.session(i, shop)
		var cut atomic.Bool
		u := &grant.Use{Cut: func() { cut.Store(true) }}
		began := false
		var both sync.WaitGroup
		both.Go(func() { began = x.Begin(u, &g) })
		both.Go(func() {
			r := &mezu.Revocation{Kind: mezu.RevokeSession, Subject: g.Session, Until: g.NotAfter}
			a.Anchor.Revoke(r)
			x.Ended(r)
		})
		both.Wait()
		if began && !cut.Load() {
			t.Fatal("a use goes on although its session was ended")
		}
		x.End(u)
	}
	if x.Len() != 0 {
		t.Error(x.Len())
	}
}

package grant_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/grant"
	"github.com/mezusphere/mezu/grant/granttest"
)

func TestVerify(t *testing.T) {
	a := newAuthority(t)
	v := grant.NewVerifier(a.Anchor)
	_, other, _ := ed25519.GenerateKey(rand.Reader)
	with := func(change func(*mezu.Grant)) []byte {
		g := a.session(0, shop)
		change(&g)
		return a.Sign(g)
	}
	good := a.Sign(a.session(0, shop))
	for name, c := range map[string]struct {
		text []byte
		want error
	}{
		"good":                       {good, nil},
		"of the last minute to come": {with(func(g *mezu.Grant) { g.IssuedAt = g.IssuedAt.Add(grant.Skew) }), nil},
		"of a later epoch":           {with(func(g *mezu.Grant) { g.Epoch++ }), nil},
		"empty":                      {nil, grant.ErrForged},
		"no grant":                   {[]byte("k.e30.AAAA"), grant.ErrForged},
		"too long":                   {bytes.Repeat([]byte("a"), mezu.MaxGrantText+1), grant.ErrForged},
		"cut":                        {good[:len(good)-1], grant.ErrForged},
		"altered":                    {bytes.Replace(good, []byte("."), []byte(".e"), 1), grant.ErrForged},
		"signed by a stranger":       {a.SignAs(mezu.PurposeGrant, granttest.KeyID, other, a.session(0, shop)), grant.ErrForged},
		"signed for another purpose": {a.SignAs(mezu.PurposeBundle, granttest.KeyID, a.Key, a.session(0, shop)), grant.ErrForged},
		"signed by a key for others": {a.SignAs(mezu.PurposeGrant, granttest.OtherKeyID, a.OtherKey, a.session(0, shop)), grant.ErrForged},
		"that cannot have been made": {with(func(g *mezu.Grant) { g.NotAfter = g.AuthTime.Add(mezu.MaxGrantLife + 1e9) }), grant.ErrForged},
		"of another environment":     {with(func(g *mezu.Grant) { g.Environment = blog }), grant.ErrForeign},
		"of another directory":       {with(func(g *mezu.Grant) { g.Directory = mezu.NewID(mezu.PrefixDirectory, start) }), grant.ErrForeign},
		"of an earlier epoch":        {with(func(g *mezu.Grant) { g.Epoch-- }), grant.ErrEpoch},
		"of a session that is over": {with(func(g *mezu.Grant) {
			g.AuthTime, g.IdleUntil, g.NotAfter = g.AuthTime.Add(-2*time.Hour), start.Add(-time.Hour), start.Add(-time.Hour)
			g.FreshUntil = g.IdleUntil
		}), grant.ErrEnded},
		"issued in the future":           {with(func(g *mezu.Grant) { g.IssuedAt = g.IssuedAt.Add(grant.Skew + time.Second) }), grant.ErrEarly},
		"of a login in the future":       {with(func(g *mezu.Grant) { g.AuthTime = g.AuthTime.Add(grant.Skew + time.Second) }), grant.ErrEarly},
		"of another one's good in front": {append([]byte("k."), good...), grant.ErrForged},
	} {
		for range 2 { // the second time from memory
			g, err := v.Verify(c.text, shop, directory, 3, start)
			if !errors.Is(err, c.want) || (err == nil) != (g != nil) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestVerify_JudgesEachTime: what is remembered is the signature, and nothing that changes.
func TestVerify_JudgesEachTime(t *testing.T) {
	a := newAuthority(t)
	v := grant.NewVerifier(a.Anchor)
	g := a.session(0, shop)
	text := a.Sign(g)
	verify := func(want error) {
		t.Helper()
		if _, err := v.Verify(text, shop, directory, 3, a.clock.Now()); !errors.Is(err, want) {
			t.Errorf("%v instead of %v", err, want)
		}
	}
	verify(nil)
	if _, err := v.Verify(text, blog, directory, 3, start); !errors.Is(err, grant.ErrForeign) {
		t.Error("passes in another environment", err)
	}
	if _, err := v.Verify(text, shop, "", 3, start); !errors.Is(err, grant.ErrForeign) {
		t.Error("passes where no directory is named", err)
	}
	if _, err := v.Verify(text, shop, directory, 4, start); !errors.Is(err, grant.ErrEpoch) {
		t.Error("passes after a restore", err)
	}
	a.Anchor.Revoke(&mezu.Revocation{Kind: mezu.RevokeUser, Subject: g.User, NotBefore: g.IssuedAt, Until: g.NotAfter})
	verify(nil) // of grants before that moment
	a.Anchor.Revoke(&mezu.Revocation{Kind: mezu.RevokeUser, Subject: g.User, NotBefore: g.IssuedAt.Add(1), Until: g.NotAfter})
	verify(grant.ErrRevoked)

	g = a.session(1, shop)
	text = a.Sign(g)
	verify(nil)
	a.clock.Advance(24*time.Hour + 1)
	verify(grant.ErrEnded)

	g = a.session(2, shop)
	text = a.Sign(g)
	verify(nil)
	a.Anchor.Revoke(&mezu.Revocation{Kind: mezu.RevokeSession, Subject: g.Session, Until: g.NotAfter})
	verify(grant.ErrRevoked)
}

// Recall verifies no signature, and a revoked grant that comes again is not verified again
// either.
func TestRecall(t *testing.T) {
	a := newAuthority(t)
	v := grant.NewVerifier(a.Anchor)
	recall := func(text []byte, want error) {
		t.Helper()
		if g, err := v.Recall(text, shop, directory, 3, start); !errors.Is(err, want) || (g != nil) != (want == nil || want == grant.ErrRevoked) {
			t.Errorf("%v, %v instead of %v", g, err, want)
		}
	}
	g, over := a.session(0, shop), a.session(1, shop)
	text, revoked := a.Sign(g), a.Sign(over)
	recall(bytes.Repeat([]byte("a"), mezu.MaxGrantText+1), grant.ErrForged)
	recall(text, grant.ErrUnknown)
	a.Anchor.Revoke(&mezu.Revocation{Kind: mezu.RevokeSession, Subject: over.Session, Until: over.NotAfter})
	for text, want := range map[string]error{string(text): nil, string(revoked): grant.ErrRevoked} {
		if _, err := v.Verify([]byte(text), shop, directory, 3, start); !errors.Is(err, want) {
			t.Error(err)
		}
		recall([]byte(text), want)
	}
	if g, err := v.Recall(text, shop, directory, 4, start); g != nil || err != grant.ErrEpoch {
		t.Errorf("after a restore: %v, %v", g, err)
	}
}

func TestVerify_Keysets(t *testing.T) {
	a := newAuthority(t)
	v := grant.NewVerifier(a.Anchor)
	g := a.session(0, shop)
	text := a.Sign(g)
	first, err := v.Verify(text, shop, directory, 3, start)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := v.Verify(text, shop, directory, 3, start); again != first {
		t.Error("verified twice under one keyset")
	}
	// The next keyset ends the key before the session.
	a.Accept(2, start.Add(time.Hour))
	again, err := v.Verify(text, shop, directory, 3, start)
	if err != nil || again == first {
		t.Error("taken from memory under another keyset", err)
	}
	if _, err := v.Verify(text, shop, directory, 3, start.Add(time.Hour+1)); !errors.Is(err, grant.ErrEnded) {
		t.Error("outlives its key in memory", err)
	}
	a.NewKey()
	a.Accept(3, start.AddDate(0, 6, 0))
	if _, err := v.Verify(text, shop, directory, 3, start); !errors.Is(err, grant.ErrForged) {
		t.Error("remembered although its key is gone", err)
	}
}

func TestVerify_FromManyGoroutines(t *testing.T) {
	a := newAuthority(t)
	v := grant.NewVerifierOf(a.Anchor, 8<<10)
	var texts [][]byte
	for i := range 12 {
		texts = append(texts, a.Sign(a.session(i, shop)))
	}
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 200 {
				if g, err := v.Verify(texts[(i*7+w)%len(texts)], shop, directory, 3, start); err != nil || g.Identity() == nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// TestIdentity_Fields holds the encoding against docs and against its bound.
func TestIdentity_Fields(t *testing.T) {
	a := newAuthority(t)
	v := grant.NewVerifier(a.Anchor)
	fields := func(g mezu.Grant) string {
		t.Helper()
		got, err := v.Verify(a.Sign(g), shop, directory, 3, start)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for _, f := range got.Identity() {
			fmt.Fprintf(&out, "%s: %s\r\n", f.Name, f.Value)
		}
		return out.String()
	}
	g := a.session(7, shop)
	want := "X-Mezu-User-Id: " + g.User + "\r\nX-Mezu-User-Email: ann7@example.com\r\nX-Mezu-User-Name: Ann%2C%20100%20%25%20%C3%9Cnal\r\nX-Mezu-User-Roles: staff,admin\r\n"
	if got := fields(g); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	g.Name, g.Roles = "", nil
	if got := fields(g); strings.Contains(got, "Name") || strings.Contains(got, "Roles") {
		t.Errorf("a field without a value in\n%s", got)
	}
	g.Email = strings.Repeat("é", (mezu.MaxEmail-len("@example.com"))/2) + "@example.com"
	g.Name = strings.Repeat("é", mezu.MaxDisplayName/2)
	for i := range mezu.MaxUserRoles {
		g.Roles = append(g.Roles, strings.Repeat("r", 62)+string(rune('a'+i/10))+string(rune('0'+i%10)))
	}
	if got := fields(g); len(got) > 4<<10 {
		t.Errorf("%d bytes of fields", len(got))
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, sessions := range []int{1, 100_000} {
		a := newAuthority(b)
		v := grant.NewVerifier(a.Anchor)
		texts := make([][]byte, sessions)
		for i := range texts {
			texts[i] = a.Sign(a.session(i, shop))
			if _, err := v.Verify(texts[i], shop, directory, 3, start); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("known/sessions=%d", sessions), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := v.Verify(texts[i*7919%sessions], shop, directory, 3, start); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("first/sessions=%d", sessions), func(b *testing.B) {
			fresh := make([][]byte, 0, 1<<14)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if i%cap(fresh) == 0 {
					b.StopTimer()
					fresh = fresh[:0]
					for n := range min(cap(fresh), b.N-i) {
						fresh = append(fresh, a.Sign(a.session(n, shop)))
					}
					b.StartTimer()
				}
				if _, err := v.Verify(fresh[i%cap(fresh)], shop, directory, 3, start); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkIndex(b *testing.B) {
	for _, under := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("under=%d", under), func(b *testing.B) {
			a := newAuthority(b)
			x := grant.NewIndex(a.Anchor.GrantRevoked)
			for i := range under {
				g := a.session(i, shop)
				x.Begin(&grant.Use{Cut: func() {}}, &g)
			}
			g := a.session(under, shop)
			u := &grant.Use{Cut: func() {}}
			b.ReportAllocs()
			for b.Loop() {
				x.Begin(u, &g)
				x.End(u)
			}
		})
	}
}

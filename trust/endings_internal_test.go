package trust

import (
	"fmt"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// Issue 7, row 1: adding a revocation takes as many steps with 200,000 in force as with
// one, also while others come to their end, and what has ended goes.
func TestRow1AddingCostsTheSame(t *testing.T) {
	const most = sweepSteps + 1
	var e endings
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	add := func(i int, life time.Duration) {
		t.Helper()
		news, steps := e.add(&mezu.Revocation{Kind: mezu.RevokeUser, Subject: fmt.Sprintf("usr_%026d", i), NotBefore: now, Until: now.Add(life)}, now.UnixNano())
		if !news || steps > most {
			t.Fatalf("number %d: news %v in %d steps, want at most %d", i, news, steps, most)
		}
	}
	for i := range 200_000 {
		add(i, time.Duration(1+i%48)*time.Hour)
	}
	held := func() (n int) { return len(e.kinds[mezu.RevokeUser].known) }
	if held() != 200_000 {
		t.Fatalf("%d are held", held())
	}
	// A day later half of them are over. What is added costs no more, and takes them out.
	now = now.Add(25*time.Hour + time.Minute)
	for i := range 20_000 {
		add(200_000+i, 100*time.Hour)
	}
	if n := held(); n < 116_000 || n > 121_000 {
		t.Errorf("%d are held, of which 120,000 are in force", n)
	}
	// Without additions as well.
	now = now.Add(200 * time.Hour)
	for e.sweep(now.UnixNano()) > 0 {
	}
	if held() != 0 || len(e.kinds[mezu.RevokeUser].buckets) != 0 {
		t.Errorf("%d and %d hours are held after the end of all", held(), len(e.kinds[mezu.RevokeUser].buckets))
	}
}

// An end that was moved out counts: the bucket of the earlier one takes nothing away.
func TestEndingsMovedOut(t *testing.T) {
	var e endings
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := mezu.Revocation{Kind: mezu.RevokeSession, Subject: "s", Until: now.Add(time.Hour)}
	e.add(&r, now.UnixNano())
	r.Until = now.Add(10 * time.Hour)
	if news, _ := e.add(&r, now.UnixNano()); !news {
		t.Fatal("a later end is no news")
	}
	now = now.Add(5 * time.Hour)
	for e.sweep(now.UnixNano()) > 0 {
	}
	if e.of(mezu.RevokeSession, "s").until == 0 {
		t.Error("it is gone before its end")
	}
}

func TestGrantRevoked(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	grant := &mezu.Grant{Session: "ses", User: "usr", Directory: "dir", IssuedAt: at}
	for name, c := range map[string]struct {
		r       mezu.Revocation
		revoked bool
	}{
		"its session":        {mezu.Revocation{Kind: mezu.RevokeSession, Subject: "ses"}, true},
		"another session":    {mezu.Revocation{Kind: mezu.RevokeSession, Subject: "other"}, false},
		"its user, later":    {mezu.Revocation{Kind: mezu.RevokeUser, Subject: "usr", NotBefore: at.Add(1)}, true},
		"its user, earlier":  {mezu.Revocation{Kind: mezu.RevokeUser, Subject: "usr", NotBefore: at}, false},
		"its directory":      {mezu.Revocation{Kind: mezu.RevokeDirectory, Subject: "dir", NotBefore: at.Add(1)}, true},
		"another directory":  {mezu.Revocation{Kind: mezu.RevokeDirectory, Subject: "other", NotBefore: at.Add(1)}, false},
		"an earlier session": {mezu.Revocation{Kind: mezu.RevokeDirectory, Subject: "dir", NotBefore: at.Add(-1)}, false},
	} {
		a := New(nil, func() time.Time { return at })
		c.r.Until = at.Add(time.Hour)
		a.Revoke(&c.r)
		if a.GrantRevoked(grant) != c.revoked {
			t.Errorf("%s: revoked is %v", name, !c.revoked)
		}
	}
}

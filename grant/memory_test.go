package grant_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/mezusphere/mezu/assertion"
	"github.com/mezusphere/mezu/grant"
)

// TestMemory_EnvironmentsShare: whoever has many visitors does not push out those of others.
func TestMemory_EnvironmentsShare(t *testing.T) {
	a := newAuthority(t)
	const room = 64 << 10
	v := grant.NewVerifierOf(a.Anchor, room)
	see := func(text []byte, environment string) *grant.Verified {
		t.Helper()
		g, err := v.Verify(text, environment, directory, 3, start)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	var mine [][]byte
	var first []*grant.Verified
	for i := range 10 {
		mine = append(mine, a.Sign(a.session(i, blog)))
		first = append(first, see(mine[i], blog))
	}
	for i := range 200 {
		see(a.Sign(a.session(i, shop)), shop)
		if _, size := v.Remembers(shop); size > room {
			t.Fatalf("%d bytes are remembered, more than %d", size, room)
		}
	}
	for i := range mine {
		if see(mine[i], blog) != first[i] {
			t.Errorf("the %d. grant of the small environment was pushed out", i)
		}
	}
	if n, _ := v.Remembers(shop); n < 20 {
		t.Errorf("%d grants are left to the large environment", n)
	}
}

// TestMemory_KeepsWhatIsUsed: those that come once push out one another.
func TestMemory_KeepsWhatIsUsed(t *testing.T) {
	a := newAuthority(t)
	v := grant.NewVerifierOf(a.Anchor, 32<<10)
	regular := a.Sign(a.session(0, shop))
	first, err := v.Verify(regular, shop, directory, 3, start)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if _, err := v.Verify(a.Sign(a.session(i, shop)), shop, directory, 3, start); err != nil {
			t.Fatal(err)
		}
		if again, _ := v.Verify(regular, shop, directory, 3, start); again != first {
			t.Fatalf("pushed out by the %d. visitor", i)
		}
	}
}

// TestMemory_ForgetsWhatIsOver: grants that were refreshed or whose session is idle go before
// the memory is full.
func TestMemory_ForgetsWhatIsOver(t *testing.T) {
	a := newAuthority(t)
	v := grant.NewVerifier(a.Anchor)
	var old [][]byte
	for i := range 20 {
		old = append(old, a.Sign(a.session(i, shop)))
		v.Verify(old[i], shop, directory, 3, a.clock.Now())
	}
	v.Verify(old[0], shop, directory, 3, a.clock.Now())
	a.clock.Advance(5 * time.Hour)
	for i := range 20 {
		v.Verify(a.Sign(a.session(i, shop)), shop, directory, 3, a.clock.Now())
	}
	if n, _ := v.Remembers(shop); n != 20 {
		t.Errorf("%d grants are remembered, 20 of them of use", n)
	}
	// One that passes because nobody can refresh it stays while it is in use.
	a.clock.Advance(5 * time.Hour)
	one := a.Sign(a.session(0, shop))
	kept, _ := v.Verify(one, shop, directory, 3, a.clock.Now())
	a.clock.Advance(5 * time.Hour)
	for i := range 40 {
		v.Verify(a.Sign(a.session(i, shop)), shop, directory, 3, a.clock.Now())
		if again, err := v.Verify(one, shop, directory, 3, a.clock.Now()); again != kept {
			t.Fatal("one in use was dropped", err)
		}
	}
}

// TestMemory_Measure: what an entry is counted for is what it takes.
func TestMemory_Measure(t *testing.T) {
	if testing.Short() {
		t.Skip()
	}
	a := newAuthority(t)
	const n = 2000
	texts := make([][]byte, n)
	for i := range texts {
		texts[i] = a.Sign(a.session(i, shop))
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	v, minter := grant.NewVerifier(a.Anchor), assertion.NewMinter(a.Key, "https://shop-acme.edge.example", shop)
	before := heap()
	for _, text := range texts {
		g, err := v.Verify(text, shop, directory, 3, start)
		if err != nil {
			t.Fatal(err)
		}
		g.Identity()
		if _, err := g.Assertion.Get(minter, g.Grant, start); err != nil {
			t.Fatal(err)
		}
	}
	took := int(heap()-before) / n
	_, size := v.Remembers(shop)
	t.Logf("an entry takes %d bytes and counts for %d", took, size/n)
	if counted := size / n; took > counted {
		t.Errorf("an entry takes %d bytes and counts for %d", took, counted)
	}
	runtime.KeepAlive(texts)
}

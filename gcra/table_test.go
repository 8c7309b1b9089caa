package gcra_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mezusphere/mezu/gcra"
)

// rule is one of an owner.
func rule(t *gcra.Table, id, owner string, rate gcra.Rate) *gcra.Rule {
	r := &gcra.Rule{ID: t.Text(id), Owner: t.Text(owner)}
	r.Set(rate)
	return r
}

// client is the n-th of many clients.
func client(n int) (k gcra.Key) {
	binary.BigEndian.PutUint64(k[:], uint64(n))
	return k
}

func TestTable_Take(t *testing.T) {
	table := gcra.NewTable(nil)
	r := rule(table, "r", "o", gcra.Rate{Events: 10, Per: time.Second, Burst: 3})
	const now, ms = time.Hour, time.Millisecond
	ann, bob := table.Text("ann"), table.Text("bob")
	for i, want := range []gcra.State{{Left: 2, Wait: 100 * ms}, {Left: 1, Wait: 200 * ms}, {Left: 0, Wait: 100 * ms}, {Refused: true, Wait: 100 * ms}, {Refused: true, Wait: 100 * ms}} {
		if got := table.Take(r, ann, now); got != want {
			t.Errorf("event %d: %+v, want %+v", i, got, want)
		}
	}
	if table.Spent(r, ann, now) != 100*ms || table.Spent(r, bob, now) != 0 {
		t.Error("another client is spent than the one that is")
	}
	// Refusals were free, however many there were.
	for i, c := range []struct {
		client gcra.Key
		at     time.Duration
		want   gcra.State
	}{
		{bob, now, gcra.State{Left: 2, Wait: 100 * ms}},
		{ann, now + 99*ms, gcra.State{Refused: true, Wait: ms}},
		{ann, now + 100*ms, gcra.State{Wait: 100 * ms}},
		{ann, now + 100*ms, gcra.State{Refused: true, Wait: 100 * ms}},
		{ann, now + time.Second, gcra.State{Left: 2, Wait: 100 * ms}},
	} {
		if got := table.Take(r, c.client, c.at); got != c.want {
			t.Errorf("%d: %+v, want %+v", i, got, c.want)
		}
	}
	// Another rule counts by itself, one with the same values goes on.
	if got := table.Take(rule(table, "another", "o", gcra.Rate{Events: 10, Per: time.Second, Burst: 3}), ann, now+time.Second); got.Left != 2 {
		t.Errorf("another rule: %+v", got)
	}
	if got := table.Take(rule(table, "r", "o", gcra.Rate{Events: 10, Per: time.Second, Burst: 3}), ann, now+time.Second); got.Left != 1 {
		t.Errorf("the same rule: %+v", got)
	}
}

// A burst that takes longer than anybody waits to come back does not overflow.
func TestTable_LongBursts(t *testing.T) {
	table := gcra.NewTable(nil)
	r := rule(table, "r", "o", gcra.Rate{Events: 1, Per: 24 * time.Hour, Burst: 1_000_000})
	for i := range 20_000 {
		if got := table.Take(r, client(1), table.Now()); got.Refused || got.Wait < 0 {
			t.Fatalf("event %d: %+v", i, got)
		}
	}
}

// Over any stretch of time a client has at most its burst and its rate, and gets what it is told that
// it may have.
func TestTable_NeverMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := gcra.Rate{Events: rapid.IntRange(1, 50).Draw(t, "events"), Per: time.Second, Burst: rapid.IntRange(1, 20).Draw(t, "burst")}
		table := gcra.NewTable(nil)
		r := rule(table, "r", "o", rate)
		now := time.Hour
		var taken []time.Duration
		before := gcra.State{Left: rate.Burst}
		for range rapid.IntRange(1, 200).Draw(t, "tries") {
			pause := time.Duration(rapid.IntRange(0, 50).Draw(t, "gap")) * time.Millisecond
			now += pause
			got := table.Take(r, client(0), now)
			if got.Refused && (before.Left > 0 || pause >= before.Wait) {
				t.Fatalf("refused after %v, though %+v", pause, before)
			}
			if !got.Refused {
				taken = append(taken, now)
			}
			before = got
		}
		for i := range taken {
			for j := i; j < len(taken); j++ {
				most := rate.Burst + int((taken[j]-taken[i])/(rate.Per/time.Duration(rate.Events)))
				if n := j - i + 1; n > most {
					t.Fatalf("%d events in %v, at most %d", n, taken[j]-taken[i], most)
				}
			}
		}
	})
}

// A million keys take no more room than there is, and nobody at their limit is forgotten. One owner
// has an eighth of the table; the clients that find no room there share one allowance.
func TestTable_ManyKeys(t *testing.T) {
	table := gcra.NewTable(nil)
	rate := gcra.Rate{Events: 1, Per: time.Hour, Burst: 1}
	attacked, other := rule(table, "attacked", "one", rate), rule(table, "other", "another", rate)
	now := table.Now()
	victim := table.Text("victim")
	table.Take(attacked, victim, now)
	allowed := 0
	for i := range 1_000_000 {
		if !table.Take(attacked, client(i), now).Refused {
			allowed++
		}
	}
	keys := table.Keys()
	if share := gcra.MaxTable / 8; keys > share+1 || keys < share*9/10 || allowed > keys {
		t.Errorf("%d keys, %d events were allowed, and an owner's part is %d", keys, allowed, share)
	}
	if got := table.Take(attacked, client(2_000_000), now); !got.Refused || got.Wait != time.Hour || table.Spent(attacked, client(2_000_000), now) != time.Hour {
		t.Errorf("a newcomer has an allowance of its own: %+v", got)
	}
	if !table.Take(attacked, victim, now).Refused {
		t.Error("a client at its limit was forgotten")
	}
	// Others have their own, and so does another rule of the same owner.
	if got := table.Take(other, victim, now); got.Refused {
		t.Errorf("another owner: %+v", got)
	}
	if second := rule(table, "second", "one", rate); table.Take(second, victim, now).Refused || !table.Take(second, client(3_000_000), now).Refused {
		t.Error("another rule of the owner does not have one allowance for all its newcomers")
	}
	for i := range 9 {
		flood := rule(table, "attacked", string(rune('a'+i)), rate)
		flood.ID = table.Text(string(rune('a' + i)))
		for j := range gcra.MaxTable / 8 {
			table.Take(flood, client(j), now)
		}
	}
	if keys := table.Keys(); keys > gcra.MaxTable+100 || keys < gcra.MaxTable*9/10 {
		t.Errorf("%d keys of all, and there is room for %d", keys, gcra.MaxTable)
	}
	if table.Take(attacked, client(2_000_000), now+2*time.Hour).Refused {
		t.Error("there is no room after all keys have rested")
	}
}

// More rules than there is room for have full tables at once: the newcomers of the rest wait.
func TestTable_ManyCrowds(t *testing.T) {
	table := gcra.NewTable(nil)
	rate := gcra.Rate{Events: 1, Per: time.Hour, Burst: 1}
	full := rule(table, "full", "one", rate)
	now := table.Now()
	for i := range gcra.MaxTable / 4 {
		table.Take(full, client(i), now)
	}
	allowed := 0
	for i := range 2000 {
		if !table.Take(rule(table, string(rune(0x1000+i)), "one", rate), client(1), now).Refused {
			allowed++
		}
	}
	if allowed == 0 || allowed > 600 {
		t.Errorf("%d of 2000 crowds have an allowance", allowed)
	}
}

func TestTable_AllocatesNothing(t *testing.T) {
	table := gcra.NewTable(nil)
	r := rule(table, "r", "o", gcra.Rate{Events: 1000, Per: time.Second, Burst: 1000})
	a := netip.MustParseAddr("2001:db8::1")
	table.Take(r, gcra.Address(a), table.Now())
	table.Take(r, table.Text("usr_00000000000000000000000001"), table.Now())
	if n := testing.AllocsPerRun(1000, func() {
		table.Take(r, gcra.Address(a), table.Now())
		table.Take(r, table.Text("usr_00000000000000000000000001"), table.Now())
		table.Spent(r, gcra.Address(a), table.Now())
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAddress(t *testing.T) {
	same := func(a, b string) bool {
		return gcra.Address(netip.MustParseAddr(a)) == gcra.Address(netip.MustParseAddr(b))
	}
	if !same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2") || same("2001:db8:0:1::1", "2001:db8:0:2::1") || same("192.0.2.1", "192.0.2.2") || !same("192.0.2.1", "::ffff:192.0.2.1") {
		t.Error("addresses count together that shouldn't, or the other way round")
	}
}

// BenchmarkTable_Take is one event of one of many clients.
func BenchmarkTable_Take(b *testing.B) {
	table := gcra.NewTable(nil)
	r := rule(table, "r", "o", gcra.Rate{Events: 1_000_000, Per: time.Second, Burst: 1_000_000})
	var clients [16384]gcra.Key
	for i := range clients {
		clients[i] = client(i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		table.Take(r, clients[i%len(clients)], table.Now())
		i++
	}
}

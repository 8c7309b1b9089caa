package waf

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tunnel"
)

// ask takes a turn of a kind that is over at once, and notes that.
func ask(t *turns, wg *sync.WaitGroup, environment string, address tunnel.Address, heavy bool, note func(string)) {
	wg.Go(func() {
		done, _, err := t.take(environment, address, heavy, true)
		if err != nil {
			note(err.Error())
			return
		}
		note(fmt.Sprint(environment, address))
		done()
	})
	synctest.Wait() // it waits now
}

// Who waits is served by turns: environments, and the addresses of each.
func TestTurns_InTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1, time.Now)
		first, _, _ := turns.take("a", 1, false, true)
		second, _, _ := turns.take("a", 1, false, true)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var order []string
		note := func(s string) { mu.Lock(); defer mu.Unlock(); order = append(order, s) }
		for range 3 {
			ask(turns, &wg, "a", 1, false, note)
		}
		ask(turns, &wg, "a", 2, false, note)
		ask(turns, &wg, "b", 1, false, note)
		ask(turns, &wg, "b", 1, false, note)
		if turns.taken() != 2 {
			t.Errorf("%d turns", turns.taken())
		}
		first() // one after the other on this turn
		wg.Wait()
		second()
		if want := []string{"a1", "b1", "a2", "b1", "a1", "a1"}; !slices.Equal(order, want) {
			t.Errorf("%q, want %q", order, want)
		}
		if turns.taken() != 0 || turns.waiting != 0 {
			t.Errorf("%d turns, %d wait", turns.taken(), turns.waiting)
		}
	})
}

// What is light does not wait for what is heavy, whatever the number of cores, and neither keeps
// the other from ever beginning.
func TestTurns_OneIsForWhatIsLight(t *testing.T) {
	for cores := range 6 {
		synctest.Test(t, func(t *testing.T) {
			turns := newTurns(cores, time.Now)
			var dones []func()
			for range turns.slots - 1 {
				done, _, err := turns.take("a", 1, true, true)
				if err != nil {
					t.Fatal(err)
				}
				dones = append(dones, done)
			}
			if _, _, err := turns.take("a", 2, true, true); err != errBusy {
				t.Errorf("one more heavy: %v", err)
			}
			light, _, err := turns.take("b", 3, false, true)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			var mu sync.Mutex
			var order []string
			note := func(s string) { mu.Lock(); defer mu.Unlock(); order = append(order, s) }
			ask(turns, &wg, "light", 4, false, note)
			ask(turns, &wg, "light", 4, false, note)
			ask(turns, &wg, "heavy", 5, true, note)
			dones[0]()
			wg.Wait()
			light()
			if len(order) != 3 || !slices.Contains(order[:2], "heavy5") {
				t.Errorf("%d cores: %q", cores, order)
			}
			for _, done := range dones[1:] {
				done()
			}
		})
	}
}

// Nobody waits for long.
func TestTurns_WaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1, time.Now)
		a, _, _ := turns.take("a", 1, false, true)
		b, _, _ := turns.take("a", 1, false, true)
		began := time.Now()
		if _, _, err := turns.take("b", 2, false, true); mezu.CodeOf(err) != mezu.CodeOverloaded || time.Since(began) != maxWait {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		a()
		b()
		if done, _, err := turns.take("b", 2, false, true); err != nil {
			t.Error(err)
		} else {
			done()
		}
	})
}

// One address takes its share of the time, and then no more until it was given some again, which it
// is told when.
func TestTurns_ShareOfAnAddress(t *testing.T) {
	now := time.Now()
	turns := newTurns(3, func() time.Time { return now })
	use := func(address tunnel.Address, free bool) (time.Duration, error) {
		done, wait, err := turns.take("a", address, true, free)
		if err == nil {
			now = now.Add(100 * time.Millisecond)
			done()
		}
		return wait, err
	}
	used := 0
	for ; ; used++ {
		if _, err := use(1, false); err != nil {
			break
		}
		if used > 1000 {
			t.Fatal("it never ends")
		}
	}
	// Two turns, a fifth of ten seconds of each, and what it was given meanwhile.
	if used < 40 || used > 80 {
		t.Errorf("%d turns of a tenth of a second", used)
	}
	wait, err := use(1, false)
	if mezu.CodeOf(err) != mezu.CodeRateLimited || wait <= 0 || wait > 100*time.Millisecond*100/addressShare/2 {
		t.Errorf("%v, and a wait of %v", err, wait)
	}
	for what, may := range map[string]func() (time.Duration, error){
		"another address": func() (time.Duration, error) { return use(2, false) }, "what may take what it likes": func() (time.Duration, error) { return use(1, true) },
	} {
		if wait, err := may(); err != nil || wait != 0 {
			t.Errorf("%s: %v, %v", what, wait, err)
		}
	}
	if wait, err = use(1, false); err == nil {
		t.Fatal("it may go on at once")
	}
	now = now.Add(wait - time.Millisecond)
	if early, err := use(1, false); err == nil || early > 2*time.Millisecond {
		t.Errorf("a moment early: %v, %v", early, err)
	}
	now = now.Add(2 * time.Millisecond)
	if _, err := use(1, false); err != nil {
		t.Errorf("when it was told to: %v", err)
	}
}

// A million addresses cost no memory that stays.
func TestTurns_ForgetsAddresses(t *testing.T) {
	now := time.Now()
	turns := newTurns(2, func() time.Time { return now })
	for a := range tunnel.Address(1_000_000) {
		turns.charge(a, time.Millisecond)
		now = now.Add(time.Millisecond)
	}
	if n := len(turns.spent); n > maxWaiting+1 {
		t.Errorf("%d addresses", n)
	}
}

package password

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"testing"

	"github.com/mezusphere/mezu"
)

func hashOf(t *testing.T, h *Hasher, word string) Hash {
	t.Helper()
	out, err := h.Hash(t.Context(), "d", word)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestL12_HashAndVerify(t *testing.T) {
	h := NewHasher(2)
	long := "a password of more than seventy-two bytes, of which no function may leave out"
	stored := hashOf(t, h, long+" the end: é")
	for word, want := range map[string]bool{
		long + " the end: é":       true,
		long + " the end: e\u0301": true,
		long + " the end: e":       false,
		long:                       false,
	} {
		if ok, err := h.Verify(t.Context(), "d", stored, word); err != nil || ok != want {
			t.Errorf("%q: %v, %v", word, ok, err)
		}
	}
	// Neither is anybody's password, and neither makes work.
	for _, word := range []string{string(make([]byte, 1<<20)), "\xff"} {
		release := fill(t, h)
		if ok, err := h.Verify(t.Context(), "d", stored, word); err != nil || ok {
			t.Errorf("%.10q: %v, %v", word, ok, err)
		}
		if err := h.Waste(t.Context(), "d", word); err != nil {
			t.Errorf("%.10q: %v", word, err)
		}
		if _, err := h.Hash(t.Context(), "d", word); ReasonOf(err) == "" {
			t.Errorf("%.10q is hashed: %v", word, err)
		}
		release()
	}
	other := hashOf(t, h, long)
	if again := hashOf(t, h, long); reflect.DeepEqual(again.Salt, other.Salt) || reflect.DeepEqual(again.Key, other.Key) {
		t.Error("two hashes of a password are alike")
	}
	if text := fmt.Sprintf("%v %+v", stored, stored); text != "argon2id m=19456 t=2 p=1 argon2id m=19456 t=2 p=1" {
		t.Errorf("a hash is logged as %s", text)
	}
}

// fill takes all workers of a hasher.
func fill(t *testing.T, h *Hasher) (release func()) {
	t.Helper()
	workers := 0
	for h.turns.free > 0 {
		if err := h.enter(t.Context(), "filler"); err != nil {
			t.Fatal(err)
		}
		workers++
	}
	return func() {
		for range workers {
			h.turns.leave()
		}
	}
}

// recorded are hashes of "correct horse battery staple" by the argon2 of Debian (the
// reference implementation), and so how stored ones look: with the parameters of this
// build, and with lesser ones.
const (
	recorded = `{"algorithm":"argon2id","memory":19456,"time":2,"threads":1,"salt":"MDEyMzQ1Njc4OWFiY2RlZg==","key":"gy5SuVm5Z7Vw7keB9se9p87QGcomaseB/S2U1OhTsM0="}`
	lesser   = `{"algorithm":"argon2id","memory":64,"time":1,"threads":1,"salt":"MDEyMzQ1Njc4OWFiY2RlZg==","key":"aq42HBL+IPAitHspChw/8mx5JRX2jFDkTmlsBskwH/0="}`
)

func TestL12_ParametersAndUpgrade(t *testing.T) {
	h := NewHasher(2)
	made := hashOf(t, h, "correct horse battery staple")
	if made.Algorithm != "argon2id" || made.Memory != 19456 || made.Time != 2 || made.Threads != 1 || len(made.Salt) != 16 || len(made.Key) != 32 || Outdated(made) {
		t.Errorf("a new hash is %+v", made)
	}
	for text, outdated := range map[string]bool{recorded: false, lesser: true} {
		var stored Hash
		if err := json.Unmarshal([]byte(text), &stored); err != nil {
			t.Fatal(err)
		}
		if ok, err := h.Verify(t.Context(), "d", stored, "correct horse battery staple"); err != nil || !ok || Outdated(stored) != outdated {
			t.Errorf("%s: %v, %v, outdated: %v", text, ok, err, Outdated(stored))
		}
		if back, err := json.Marshal(stored); err != nil || string(back) != text {
			t.Errorf("%s is written as %s, %v", text, back, err)
		}
	}
	if !Outdated(Hash{}) {
		t.Error("no hash is one of this build")
	}
}

// What no build wrote would cost anything, or be equal to anything.
func TestVerify_DamagedHashes(t *testing.T) {
	h := NewHasher(2)
	for name, damage := range map[string]func(*Hash){
		"algorithm": func(s *Hash) { s.Algorithm = "md5" },
		"memory":    func(s *Hash) { s.Memory = maxMemory + 1 },
		"no memory": func(s *Hash) { s.Memory = 0 },
		"time":      func(s *Hash) { s.Time = maxPasses + 1 },
		"no time":   func(s *Hash) { s.Time = 0 },
		"threads":   func(s *Hash) { s.Threads = 2 },
		"no salt":   func(s *Hash) { s.Salt = nil },
		"no key":    func(s *Hash) { s.Key = nil },
		"long key":  func(s *Hash) { s.Key = make([]byte, maxLength+1) },
	} {
		stored := blank(newSalt())
		stored.Key = make([]byte, keyLength)
		damage(&stored)
		if ok, err := h.Verify(t.Context(), "d", stored, "x"); ok || mezu.CodeOf(err) != mezu.CodeInternal {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}

// Without an account, and with one that has no password, there is the same work as with
// one, and it waits in the same line.
func TestL1_WastedWork(t *testing.T) {
	h := NewHasher(2)
	if ok, err := h.Verify(t.Context(), "d", Hash{}, ""); ok || err != nil {
		t.Errorf("no hash: %v, %v", ok, err)
	}
	if err := h.Waste(t.Context(), "d", "x"); err != nil {
		t.Error(err)
	}
	release := fill(t, h)
	defer release()
	for name, call := range map[string]func(context.Context) error{
		"waste":   func(ctx context.Context) error { return h.Waste(ctx, "d", "x") },
		"no hash": func(ctx context.Context) error { _, err := h.Verify(ctx, "d", Hash{}, "x"); return err },
		"hash": func(ctx context.Context) error {
			stored := blank(newSalt())
			stored.Key = make([]byte, keyLength)
			_, err := h.Verify(ctx, "d", stored, "x")
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- call(ctx) }()
		await(func() bool { return h.Waiting() == 1 })
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// await yields until a condition of other goroutines holds; the test's own limit ends it.
func await(holds func() bool) {
	for !holds() {
		runtime.Gosched()
	}
}

func TestNewHasher_Workers(t *testing.T) {
	for cores, want := range map[int]int{1: 1, 2: 1, 3: 1, 4: 2, 8: 4, 128: maxWorkers} {
		if got := NewHasher(cores).turns.free; got != want || got*2*memory*1024 > maxMemoryTogether {
			t.Errorf("%d cores have %d workers", cores, got)
		}
	}
}

// A hundred logins at once are one after the other for each worker; what is more than may
// wait is refused at once, with a hint; and all of it ends.
func TestL13_ManyLoginsAtOnce(t *testing.T) {
	h := &Hasher{newTurns(1, 6)}
	release := fill(t, h)
	var group sync.WaitGroup
	results := make(chan error, 100)
	for i := range 100 {
		group.Go(func() { results <- h.Waste(t.Context(), fmt.Sprint("d", i%4), "x") })
	}
	for range 94 {
		err := <-results
		var e *mezu.Error
		if !errors.As(err, &e) || !errors.Is(err, ErrOverloaded) || e.Code != mezu.CodeUnavailable || e.Code.Status() != 503 || e.Hint == "" {
			t.Fatalf("while all is full: %v", err)
		}
	}
	if n := h.Waiting(); n != 6 {
		t.Errorf("%d wait", n)
	}
	release()
	group.Wait()
	for range 6 {
		if err := <-results; err != nil {
			t.Errorf("who waited: %v", err)
		}
	}
	if h.Waiting() != 0 || h.turns.free != 1 {
		t.Errorf("in the end %d wait, and %d workers are free", h.Waiting(), h.turns.free)
	}
}

// Whoever goes away gives up what they waited for, and the next may wait instead.
func TestL13_LeavingFreesThePlace(t *testing.T) {
	h := &Hasher{newTurns(1, 2)}
	release := fill(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { left <- h.Waste(ctx, "a", "x") }()
	await(func() bool { return h.Waiting() == 1 })
	if err := h.Waste(t.Context(), "a", "x"); !errors.Is(err, ErrOverloaded) {
		t.Errorf("another one of a share that has its half: %v", err)
	}
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) || h.Waiting() != 0 {
		t.Errorf("%v, and %d wait", err, h.Waiting())
	}
	go func() { left <- h.Waste(t.Context(), "a", "x") }()
	await(func() bool { return h.Waiting() == 1 })
	release()
	if err := <-left; err != nil {
		t.Error(err)
	}
	if err := h.Waste(ctx, "a", "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

// A directory that is flooded neither fills the line nor makes the others wait behind it.
func TestL13_SharesTakeTurns(t *testing.T) {
	const most = 20
	turns := newTurns(1, most)
	if turn, err := turns.join("x"); turn != nil || err != nil {
		t.Fatal(turn, err)
	}
	type waiter struct {
		share string
		turn  chan struct{}
	}
	var waiting []waiter
	join := func(share string) bool {
		turn, err := turns.join(share)
		if err == nil {
			waiting = append(waiting, waiter{share, turn})
		}
		return err == nil
	}
	flood := 0
	for join("flood") {
		flood++
	}
	if flood != most/2 {
		t.Errorf("one share has %d of %d", flood, most)
	}
	for _, share := range []string{"a", "a", "b"} {
		if !join(share) {
			t.Errorf("%s has no place beside the flood", share)
		}
	}
	served := func() string {
		turns.leave()
		for i, w := range waiting {
			select {
			case <-w.turn:
				waiting = append(waiting[:i:i], waiting[i+1:]...)
				return w.share
			default:
			}
		}
		return ""
	}
	var got []string
	for range 6 {
		got = append(got, served())
	}
	if want := []string{"flood", "a", "b", "flood", "a", "flood"}; !reflect.DeepEqual(got, want) {
		t.Errorf("served %q, not %q", got, want)
	}
	for len(waiting) > 0 {
		if served() == "" {
			t.Fatal("a turn went to nobody")
		}
	}
	turns.leave()
	if turns.free != 1 || turns.count != 0 || len(turns.order) != 0 || len(turns.lines) != 0 {
		t.Errorf("in the end %+v", turns)
	}
}

// A turn that comes while its waiter goes away is given on, never lost.
func TestTurns_NoneIsLost(t *testing.T) {
	turns := newTurns(2, 1000)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				if turns.enter(ctx, fmt.Sprint(i%3)) == nil {
					runtime.Gosched()
					turns.leave()
				}
				cancel()
			}
		})
	}
	group.Wait()
	if turns.free != 2 || turns.count != 0 || len(turns.order) != 0 || len(turns.lines) != 0 {
		t.Errorf("in the end %+v", turns)
	}
}

func BenchmarkVerify(b *testing.B) {
	h := NewHasher(2)
	stored, err := h.Hash(b.Context(), "d", "correct horse battery staple")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := h.Verify(b.Context(), "d", stored, "correct horse battery staple"); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	p := Policy{Refused: []string{"petra.mueller@flowers.example", "Petra Müller", "tulipshop.edge.example"}}
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Check("tulip mansion over green hills"); err != nil {
			b.Fatal(err)
		}
	}
}

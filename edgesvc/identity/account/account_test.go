package account_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/control/record/recordtest"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/password"
	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is accounts of one pool, by a clock that stands still.
type world struct {
	*account.Accounts
	t       *testing.T
	records *record.Records
	clock   *testkit.Clock
}

var (
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ann   = account.Ref{Pool: "dir_a", ID: "usr_ann"}
)

func newWorld(t *testing.T) *world { return newWorldWith(t, true) }

// newWorldWith sends mail, or not.
func newWorldWith(t *testing.T, mail bool) *world {
	clock := testkit.StillClock(start)
	r := recordtest.Open(t, clock.Now, nil, func(cfg *record.Config) { cfg.Mail = mail })
	return &world{account.New(r), t, r, clock}
}

// commit plans and writes.
func (w *world) commit(plan func(*record.Change) error) {
	w.t.Helper()
	if _, err := w.records.Commit(w.t.Context(), record.Internal(), plan); err != nil {
		w.t.Fatal(err)
	}
}

// known makes ann's account, with a device that it knows, and gives the device's secret.
func (w *world) known() string {
	w.t.Helper()
	device := account.NewSecret()
	w.commit(func(ch *record.Change) error {
		c, err := w.Credential(w.t.Context(), ann)
		if err != nil {
			return err
		}
		c.Value.SetPassword(password.Hash{Algorithm: "x"}, w.clock.Now())
		c.Value.Meet("", device, w.clock.Now())
		w.Put(ch, c, c.Value)
		return nil
	})
	return device
}

func client(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}) }

// try begins an attempt from a client.
func (w *world) try(address string, of account.Ref, device string, from netip.Addr) account.Verdict {
	w.t.Helper()
	v, err := w.Begin(w.t.Context(), account.Attempt{Pool: ann.Pool, Address: address, Account: of, Device: device, Client: from})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// fail notes that an attempt was wrong.
func (w *world) fail(from netip.Addr) {
	w.t.Helper()
	w.commit(func(ch *record.Change) error {
		return w.Failed(w.t.Context(), ch, account.Attempt{Pool: ann.Pool, Client: from})
	})
}

// One account from 200 addresses: waits from the fifth failure in a row on, which double to
// 15 minutes, and from the hundredth on nobody whom the account does not know. The same of
// an address that nobody has (N21). The owner's own device gets in all the time (N20).
func TestL11_N21_OneAccountFromManyAddresses(t *testing.T) {
	w := newWorld(t)
	device := w.known()
	for i := 1; i <= 200; i++ {
		v := w.try("ann@example.com", ann, "", client(i))
		if u := w.try("nobody@example.com", account.Ref{Pool: ann.Pool}, "", client(i)); v != u {
			t.Fatalf("attempt %d: %+v with an account, %+v without", i, v, u)
		}
		if i > 100 {
			if !v.Locked {
				t.Fatalf("attempt %d: %+v", i, v)
			}
			continue
		}
		if v.Wait > 0 || v.Locked {
			t.Fatalf("attempt %d after its wait: %+v", i, v)
		}
		if i < 5 || i == 100 {
			continue
		}
		pause := min(time.Second<<min(i-5, 20), 15*time.Minute)
		if next := w.try("ann@example.com", ann, "", client(i)); next.Wait != pause {
			t.Fatalf("after %d failures the wait is %s, not %s", i, next.Wait, pause)
		}
		w.clock.Advance(pause)
	}
	if v := w.try("ann@example.com", ann, device, client(1000)); v.Wait != 0 {
		t.Errorf("the owner waits: %+v", v)
	}
	if v := w.try("ann@example.com", ann, account.NewSecret(), client(1001)); !v.Locked {
		t.Errorf("a device that the account does not know: %+v", v)
	}
	w.commit(func(ch *record.Change) error { return w.Forgive(t.Context(), ch, ann.Pool, "ann@example.com") })
	if v := w.try("ann@example.com", ann, "", client(1002)); v.Wait != 0 || v.Locked {
		t.Errorf("after a reset: %+v", v)
	}
}

// Where no mail is sent nobody could come back by a reset: the longest wait stays.
func TestL11_NobodyIsLockedOutWithoutMail(t *testing.T) {
	w := newWorldWith(t, false)
	w.known()
	for i := range 120 {
		if v := w.try("ann@example.com", ann, "", client(i)); v.Wait > 0 || v.Locked {
			t.Fatalf("attempt %d after its wait: %+v", i, v)
		}
		w.clock.Advance(15 * time.Minute)
	}
}

// A known device counts for itself: its own failures make it wait, and nobody else.
func TestN20_KnownDeviceCountsForItself(t *testing.T) {
	w := newWorld(t)
	device := w.known()
	for range 5 {
		if v := w.try("ann@example.com", ann, device, client(1)); v.Wait != 0 {
			t.Fatalf("%+v", v)
		}
	}
	if v := w.try("ann@example.com", ann, device, client(1)); v.Wait != time.Second {
		t.Errorf("%+v", v)
	}
	if v := w.try("ann@example.com", ann, "", client(2)); v.Wait != 0 {
		t.Errorf("strangers wait for the device: %+v", v)
	}
	w.clock.Advance(account.DeviceLife)
	w.commit(func(ch *record.Change) error {
		c, err := w.Credential(t.Context(), ann)
		if err == nil && c.Value.Knows(device, w.clock.Now()) {
			t.Error("known after its time")
		}
		return err
	})
}

// One network that tries many accounts waits, and the others don't; in a pool where hundreds
// fail in a minute those of networks with failures wait.
func TestL11_ManyAccounts(t *testing.T) {
	w := newWorld(t)
	loud, quiet := client(1), client(2)
	for i := range 30 {
		if v := w.try(fmt.Sprintf("u%d@example.com", i), account.Ref{Pool: ann.Pool}, "", loud); v.Wait != 0 {
			t.Fatalf("%d: %+v", i, v)
		}
		w.fail(loud)
	}
	if v := w.try("new@example.com", account.Ref{Pool: ann.Pool}, "", loud); v.Wait <= 0 || v.Wait > 10*time.Minute {
		t.Errorf("%+v", v)
	}
	if v := w.try("new@example.com", account.Ref{Pool: ann.Pool}, "", quiet); v.Wait != 0 {
		t.Errorf("another network waits: %+v", v)
	}
	w.clock.Advance(10 * time.Minute)
	for i := range 300 {
		w.fail(client(100 + i))
	}
	if v := w.try("other@example.com", account.Ref{Pool: ann.Pool}, "", client(100)); v.Wait == 0 {
		t.Error("a network with failures does not wait")
	}
	if v := w.try("other@example.com", account.Ref{Pool: ann.Pool}, "", client(9000)); v.Wait != 0 {
		t.Errorf("a network without failures waits: %+v", v)
	}
	w.clock.Advance(time.Minute)
	if v := w.try("other@example.com", account.Ref{Pool: ann.Pool}, "", client(100)); v.Wait != 0 {
		t.Errorf("a minute later: %+v", v)
	}
}

// Many at once are no way around the count: what is let through is what the count allows.
func TestBegin_AtOnce(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	passed := 0
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			v, err := w.Begin(t.Context(), account.Attempt{Pool: ann.Pool, Address: "ann@example.com", Account: ann, Client: client(i)})
			mu.Lock()
			defer mu.Unlock()
			if err == nil && v.Wait == 0 {
				passed++
			}
		})
	}
	all.Wait()
	if passed > 5 {
		t.Errorf("%d attempts were let through at once", passed)
	}
}

// Of an account 50 sessions go on; the one that was used least lately makes room.
func TestSessions_AtMost(t *testing.T) {
	w := newWorld(t)
	w.known()
	first := ""
	for i := range account.MaxSessions + 2 {
		w.clock.Advance(time.Second)
		id := mezu.NewID(mezu.PrefixSession, w.clock.Now())
		if i == 0 {
			first = id
		}
		var evicted []account.Session
		w.commit(func(ch *record.Change) error {
			c, err := w.Credential(t.Context(), ann)
			if err != nil {
				return err
			}
			evicted, err = w.Add(t.Context(), ch, ann, &c.Value, account.Session{ID: id, AuthTime: w.clock.Now(), RefreshedAt: w.clock.Now(), NotAfter: w.clock.Now().Add(time.Hour)})
			return err
		})
		if (len(evicted) == 1) != (i >= account.MaxSessions) || i == account.MaxSessions && evicted[0].ID != first {
			t.Fatalf("session %d: evicted %+v", i, evicted)
		}
	}
	if all, err := w.Sessions(t.Context(), ann); err != nil || len(all) != account.MaxSessions {
		t.Errorf("%d sessions, %v", len(all), err)
	}
	// What is over goes with a sweep.
	w.clock.Advance(2 * time.Hour)
	for _, j := range w.Jobs() {
		if err := j.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := w.Sessions(t.Context(), ann); err != nil || len(all) != 0 {
		t.Errorf("%d sessions after the sweep, %v", len(all), err)
	}
}

// An account knows its last ten devices.
func TestDevices_AtMost(t *testing.T) {
	c := account.Credential{}
	var secrets []string
	for i := range 12 {
		secrets = append(secrets, account.NewSecret())
		c.Meet("", secrets[i], start)
	}
	if len(c.Devices) != 10 || c.Knows(secrets[1], start) || !c.Knows(secrets[2], start) || !c.Knows(secrets[11], start) || c.Knows("", start) {
		t.Errorf("%d devices", len(c.Devices))
	}
	next := account.NewSecret()
	c.Meet(secrets[11], next, start)
	if c.Knows(secrets[11], start) || !c.Knows(next, start) || len(c.Devices) != 10 {
		t.Error("a device that logs in again is another one")
	}
}

// The code of a mail can be typed in many ways, and its link in one.
func TestTyped(t *testing.T) {
	tokens := account.NewTokens()
	if len(tokens.Link) != mezu.SecretLength || len(tokens.Code) != 20 {
		t.Fatalf("%+v", tokens)
	}
	if account.Typed(" "+tokens.Link+"\n") != tokens.Link {
		t.Error("a link's token is changed")
	}
	typed := strings.ToUpper(tokens.Code[:5]) + "-" + tokens.Code[5:10] + " " + strings.ReplaceAll(strings.ReplaceAll(tokens.Code[10:], "0", "O"), "1", "l")
	if got := account.Typed(typed); got != tokens.Code {
		t.Errorf("%q is read as %q, not %q", typed, got, tokens.Code)
	}
	if account.Digits("1234 5678") != "12345678" {
		t.Error("digits with a space")
	}
	seen := map[string]bool{}
	for range 1000 {
		d := account.NewDigits()
		if len(d) != 8 || seen[d] {
			t.Fatalf("%q", d)
		}
		seen[d] = true
	}
}

// What goes on at the moment does not outlive a restore; what accounts are does.
func TestEndsWithRestore(t *testing.T) {
	w := newWorld(t)
	w.known()
	w.try("ann@example.com", ann, "", client(1))
	w.fail(client(1))
	w.commit(func(ch *record.Change) error {
		w.CreatePending(ch, w.NewPending(account.Pending{Pool: ann.Pool}, "b", "12345678", time.Hour))
		w.Mail(ch, account.Mailed{Kind: account.MailedSignup, Pool: ann.Pool})
		w.Replace(ch, ann, account.Session{ID: mezu.NewID(mezu.PrefixSession, start)})
		return nil
	})
	page, err := w.records.Store.List(t.Context(), "", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	for _, r := range page.Records {
		if !account.EndsWithRestore(r.Key) && strings.Contains(r.Key, ann.Pool) {
			left++
			if r.Key != w.Key(ann) {
				t.Errorf("%s outlives a restore", r.Key)
			}
		}
	}
	if left != 1 {
		t.Errorf("%d records of the account", left)
	}
}

package login_test

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

const (
	// timingEnv asks for the statistics of L1: how many samples each kind of address gets.
	timingEnv = "MEZU_TIMING"
	// perAddress is how often one address is used in one place: from the fifth wrong password
	// on there is a wait, and a mailbox gets five mails an hour.
	perAddress = 4
	// warmSamples are not counted: caches fill.
	warmSamples = 20
	// sameMedian and sameOrder are what L1 asks for: medians that are close, or samples that
	// the test of Mann and Whitney can't tell apart.
	sameMedian = time.Millisecond
	sameOrder  = 0.01
)

// kind is a kind of address that somebody may try.
type kind struct {
	name string
	// make makes the address what it is; nil leaves it unknown.
	make func(email string)
}

// TestL1_Timing times logins with wrong passwords, signups and resets of addresses that
// somebody has, in any state, and of some that nobody has, in an order by chance. It fails
// where time tells them apart. It takes minutes, and wants a machine that does nothing else:
// make timing.
func TestL1_Timing(t *testing.T) {
	samples, err := strconv.Atoi(os.Getenv(timingEnv))
	if err != nil || samples < 1 {
		t.Skipf("runs with %s=SAMPLES", timingEnv)
	}
	in := controltest.New(t)
	digits := &mailedDigits{of: map[string]string{}}
	in.OnMail = digits.read
	in.Start()
	t.Cleanup(func() { in.Stop() })
	w := newWorldIn(t, in, nil)
	identity, _ := in.Enrol(w.op, "edge-2")
	edge, err := api.NewClient(api.ClientConfig{BaseURL: "https://" + in.Plane.Addr(), TLS: &tls.Config{RootCAs: in.Roots, Certificates: []tls.Certificate{*identity.Cert}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(edge.CloseIdle)

	join := func(email string) {
		t.Helper()
		b := w.browser()
		b.client = stranger()
		b.get("signup")
		b.post("signup", "email", email, "password", good)
		if s := b.post("signup/code", "pending", b.pending, "code", digits.await(t, email)); s.status != 303 {
			t.Fatalf("%s does not join: %d %s", email, s.status, s.body)
		}
	}
	kinds := []kind{
		{"unknown", nil},
		{"known", join},
		{"suspended", func(email string) { join(email); w.change(email, map[string]any{"status": mezu.UserSuspended}) }},
		{"inactive", func(email string) { join(email); w.change(email, map[string]any{"status": mezu.UserInactive}) }},
		{"without password", func(email string) {
			controltest.Call[any](t, w.op, api.OpCreateUser, controltest.UserBody(email), w.pool.InProject()...)
		}},
		{"not verified", func(email string) {
			b := w.browser()
			b.client = stranger()
			b.get("signup")
			b.post("signup", "email", email, "password", good)
		}},
	}
	for n := range (samples+warmSamples)/perAddress + 1 {
		for _, k := range kinds {
			if k.make != nil {
				k.make(address(k.name, n))
			}
		}
	}
	in.Clock.Advance(2 * time.Hour) // mailboxes take mails again
	for _, place := range []struct {
		name, path string
		fields     []string
		hold       bool // mails wait meanwhile
	}{
		{"login", "login", []string{"password", better}, false},
		{"signup", "signup", []string{"password", better}, false},
		{"reset", "reset", nil, false},
		{"reset while mails wait", "reset", nil, true},
	} {
		if place.hold {
			digits.hold.Lock()
			defer digits.hold.Unlock()
		}
		took := make([][]time.Duration, len(kinds))
		for n := range samples + warmSamples {
			for _, i := range rand.Perm(len(kinds)) {
				b := w.browser()
				b.client = stranger()
				form := url.Values{"email": {address(kinds[i].name, n/perAddress)}}
				for f := 0; f+1 < len(place.fields); f += 2 {
					form.Set(place.fields[f], place.fields[f+1])
				}
				req := b.request("POST", place.path)
				req.Origin, req.ContentType, req.Body = w.env.URL, "application/x-www-form-urlencoded", []byte(form.Encode())
				begin := time.Now()
				out, err := api.Invoke[api.EdgePage](t.Context(), edge, api.OpEdgePage, req)
				d := time.Since(begin)
				if want := map[string]int{"login": 422}[place.path]; err != nil || out.Status != cmp.Or(want, 200) {
					t.Fatalf("%s, %s: %v, %d %s", place.name, kinds[i].name, err, out.Status, out.Body)
				}
				if n >= warmSamples {
					took[i] = append(took[i], d)
				}
			}
		}
		for i := range kinds {
			slices.Sort(took[i])
		}
		for i := range kinds {
			apart, p := middle(took[i])-middle(took[0]), mannWhitney(took[0], took[i])
			t.Logf("%-22s %-16s median %v, %+v to unknown, p = %.4f", place.name, kinds[i].name, middle(took[i]).Round(time.Microsecond), apart.Round(time.Microsecond), p)
			if apart.Abs() > sameMedian && p <= sameOrder {
				t.Errorf("%s: time tells who is %s from who is unknown", place.name, kinds[i].name)
			}
		}
		in.Clock.Advance(2 * time.Hour)
	}
}

// address is the n-th of a kind. All are of one length.
func address(kind string, n int) string {
	return fmt.Sprintf("user-%06x-%s@example.com", n, mezu.HashSecret(kind)[:8])
}

// stranger is an address of a network that nobody has come from.
func stranger() string {
	var a [16]byte
	a[0], a[1] = 0x20, 0x01
	for i := 2; i < 8; i++ {
		a[i] = byte(rand.UintN(256))
	}
	a[15] = 1
	return netip.AddrFrom16(a).String()
}

// mailedDigits are those of the signups that were mailed. While hold is locked, mails wait.
type mailedDigits struct {
	hold sync.RWMutex
	mu   sync.Mutex
	of   map[string]string
}

func (m *mailedDigits) read(mail control.Mail) {
	m.hold.RLock()
	defer m.hold.RUnlock()
	d := regexp.MustCompile(`(?m)^(\d{4} ?\d{4})$`).FindString(mail.Text)
	m.mu.Lock()
	defer m.mu.Unlock()
	if d != "" {
		m.of[mail.To] = d
	}
}

func (m *mailedDigits) await(t *testing.T, email string) (digits string) {
	t.Helper()
	controltest.Eventually(t, "the mail of a signup", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		digits = m.of[email]
		return digits != ""
	})
	return digits
}

func middle(sorted []time.Duration) time.Duration { return sorted[len(sorted)/2] }

// mannWhitney is the probability that two sorted samples of one distribution are as far apart
// as these, by the normal approximation with correction for ties (Mann, Whitney 1947).
func mannWhitney(a, b []time.Duration) float64 {
	type sample struct {
		of time.Duration
		a  bool
	}
	var all []sample
	for _, d := range a {
		all = append(all, sample{d, true})
	}
	for _, d := range b {
		all = append(all, sample{d, false})
	}
	slices.SortFunc(all, func(x, y sample) int { return cmp.Compare(x.of, y.of) })
	rank, ties := 0.0, 0.0 // the sum of ranks of a
	for i := 0; i < len(all); {
		end := i
		for end < len(all) && all[end].of == all[i].of {
			end++
		}
		same := float64(end - i)
		ties += same*same*same - same
		for _, s := range all[i:end] {
			if s.a {
				rank += float64(i+end+1) / 2
			}
		}
		i = end
	}
	n, m, total := float64(len(a)), float64(len(b)), float64(len(all))
	u := rank - n*(n+1)/2
	deviation := math.Sqrt(n * m / 12 * (total + 1 - ties/(total*(total-1))))
	if deviation == 0 {
		return 1
	}
	return math.Erfc(math.Abs(u-n*m/2) / deviation / math.Sqrt2)
}

func TestMannWhitney(t *testing.T) {
	var even, odd, later []time.Duration
	for i := range 1000 {
		even, odd, later = append(even, time.Duration(2*i)), append(odd, time.Duration(2*i+1)), append(later, time.Duration(2*i+200))
	}
	if p := mannWhitney(even, even); p < 0.99 {
		t.Errorf("a sample and itself: %v", p)
	}
	if p := mannWhitney(even, odd); p < 0.9 {
		t.Errorf("the same but for one: %v", p)
	}
	if p := mannWhitney(even, later); p > 1e-6 {
		t.Errorf("a tenth of the range later: %v", p)
	}
	// By hand: U = 5, of 15 with a deviation of 5.4279.
	if p := mannWhitney([]time.Duration{1, 2, 4, 4, 7}, []time.Duration{3, 4, 8, 9, 12, 14}); math.Abs(p-0.0654) > 0.0001 {
		t.Errorf("a small example: %v", p)
	}
}

package rest

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
)

// A8: a stranger has one allowance, however many addresses his network gives him.
func TestA8_StrangersOfOneNetwork(t *testing.T) {
	stranger := func(l *limits, address string) bool {
		return mezu.CodeOf(l.call(access.Caller{Kind: access.Anonymous, Address: address}, credential{})) == mezu.CodeRateLimited
	}
	for _, c := range []struct {
		name, other string
		address     func(i int) string
	}{
		{"IPv6", "2001:db8:0:2::1", func(i int) string { return fmt.Sprintf("2001:db8:0:1:%x::%x", i, i) }},
		{"IPv6 with zones", "fe80:0:0:1::1%eth0", func(i int) string { return fmt.Sprintf("fe80::%x%%eth%d", i+1, i) }},
		{"IPv4 in both forms", "192.0.2.2", func(i int) string { return []string{"192.0.2.1", "::ffff:192.0.2.1"}[i%2] }},
		{"no address", "192.0.2.3", func(int) string { return "" }},
	} {
		l := newLimits(strangerShare) // one call a second
		refused := 0
		for i := range 20 * burstSeconds {
			if stranger(l, c.address(i)) {
				refused++
			}
		}
		// A burst passes, and one more for each second that this took.
		if passed := 20*burstSeconds - refused; passed > burstSeconds+3 {
			t.Errorf("%s: %d calls passed, %d at once may", c.name, passed, burstSeconds)
		}
		if stranger(l, c.other) {
			t.Errorf("%s: another network's call was refused", c.name)
		}
	}
}

// A8: a credential that has no call left is refused without being looked up, until it
// has one again; others are not.
func TestA8_SpentCredentials(t *testing.T) {
	l := newLimits(1)
	of := func(token string) credential {
		req := httptest.NewRequest("GET", "/v1/self", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		return credentialOf(req)
	}
	loud, quiet := of("loud"), of("quiet")
	c := access.Caller{Kind: access.ServiceAccount, ID: "sva_loud"}
	begin := time.Now()
	for l.call(c, loud) == nil {
		if _, refused := l.refuses(loud, time.Now()); refused {
			t.Fatal("refused before its calls were spent")
		}
	}
	if interval, refused := l.refuses(loud, begin); !refused || interval != time.Second {
		t.Errorf("a spent credential is refused: %v, for %v", refused, interval)
	}
	if _, refused := l.refuses(quiet, begin); refused {
		t.Error("another credential is refused")
	}
	if _, refused := l.refuses(loud, begin.Add(time.Minute)); refused {
		t.Error("a credential is refused for ever")
	}
	// A flood of credentials takes no more room than it may.
	for i := range 2 * maxSpent {
		l.call(c, credential{byte(i), byte(i >> 8), 1})
	}
	if n := len(l.spent); n > maxSpent {
		t.Errorf("%d spent credentials are remembered", n)
	}
}

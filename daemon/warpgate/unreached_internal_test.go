package warpgate

import (
	"strconv"
	"testing"

	"github.com/mezusphere/mezu"
)

// TestUnreached: a workload that many requests don't reach is watched once, and so many at most.
func TestUnreached(t *testing.T) {
	u := newUnreached()
	at := mezu.Upstream{Scheme: mezu.UpstreamHTTP, Address: "127.0.0.1:1"}
	u.note(at)
	u.note(at)
	if n := len(u.noted); n != 1 {
		t.Errorf("%d are watched", n)
	}
	for port := range 2 * maxUnreached {
		u.note(mezu.Upstream{Scheme: mezu.UpstreamHTTP, Address: "127.0.0.2:" + strconv.Itoa(port)})
	}
	if n := len(u.noted); n != maxUnreached {
		t.Errorf("%d are watched", n)
	}
	u.end(<-u.noted)
	u.note(at)
	if n := len(u.noted); n != maxUnreached {
		t.Error("one that was reached is not watched again")
	}
}

package tunnel_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tunnel"
)

// reel is a feed of numbered revocations, to which more can be added.
type reel struct {
	mu        sync.Mutex
	next, end int
	looks     int
}

func (r *reel) Next(n int) (out []mezu.Signed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks++
	for ; r.next < r.end && len(out) < n; r.next++ {
		out = append(out, signed(mezu.PurposeRevocation, fmt.Sprintf(`{"number":%d,"more":%q}`, r.next, bytes.Repeat([]byte("r"), 250))))
	}
	return out
}

func (r *reel) Current() (mezu.Told, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return mezu.Told{Directory: "dir_a", Position: mezu.Position{Epoch: 1, Revision: uint64(r.end)}}, true
}

func (r *reel) grow(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end += n
}

func (r *reel) read() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// Issue 7, row 1: whatever the number of revocations, a Warpgate registers and serves, is
// told of each once and up to where it knows all, and how far it was told comes back with
// its next registration.
func TestRow1ManyRevocationsAtRegistration(t *testing.T) {
	const many = 5000
	ca := newAuthority(t)
	feed := &reel{end: many}
	asked := make(chan mezu.Told, 10)
	e := startEdge(t, ca, "", tunnel.HubConfig{
		Statements: func(string) []mezu.Signed { return []mezu.Signed{signed(mezu.PurposeBundle, "b1")} },
		Revocations: func(env string, told mezu.Told) tunnel.Feed {
			if env != environment {
				t.Errorf("revocations of %q", env)
			}
			asked <- told
			return feed
		},
	})
	type word struct {
		number int // -1 for the bundle, -2 for up to where
		told   mezu.Told
	}
	heard := make(chan word, 2*many)
	hold := make(chan struct{})
	var held sync.Once
	told := mezu.Told{Directory: "dir_a", Position: mezu.Position{Epoch: 1, Revision: 7}}
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{
		Told:    func() mezu.Told { return told },
		Current: func(told mezu.Told) { heard <- word{-2, told} },
		Statement: func(doc mezu.Signed) {
			if doc.Purpose != mezu.PurposeRevocation {
				heard <- word{number: -1}
				return
			}
			held.Do(func() { <-hold })
			var body struct{ Number int }
			if err := json.Unmarshal(doc.Payload, &body); err != nil {
				t.Error(err)
			}
			heard <- word{number: body.Number}
		},
		Serve: echo,
	})
	l.await(t, tunnel.LinkConnected)
	if got := receive(t, "how far it was told", asked); got != told {
		t.Errorf("the edge was told of %+v", got)
	}
	if w := receive(t, "the bundle", heard); w.number != -1 {
		t.Fatalf("before the bundle comes %+v", w)
	}
	// It takes none now, and serves; no more than a window is on its way.
	c := checkout(t, e.session())
	if err := exchange(c, "served at once"); err != nil {
		t.Fatal(err)
	}
	c.Release()
	if n := feed.read(); n > 1024 {
		t.Errorf("%d revocations are on their way to a Warpgate that took none", n)
	}
	close(hold)
	for i := range many {
		if w := receive(t, "a revocation", heard); w.number != i {
			t.Fatalf("number %d is %+v", i, w)
		}
	}
	if w := receive(t, "up to where", heard); w.number != -2 || w.told.Position.Revision != many || w.told.Directory != "dir_a" {
		t.Fatalf("after the last comes %+v", w)
	}
	// What is new is told when the hub is.
	feed.grow(2)
	e.Look(environment)
	for _, want := range []int{many, many + 1, -2} {
		if w := receive(t, "what is new", heard); w.number != want {
			t.Fatalf("%+v where %d was expected", w, want)
		}
	}
	// Nobody else is.
	feed.grow(1)
	e.Look("env_other")
	e.Push(environment, signed(mezu.PurposeBundle, "b2"))
	if w := receive(t, "the next bundle", heard); w.number != -1 {
		t.Fatalf("%+v where a bundle was expected", w)
	}
	if w := receive(t, "what a bundle brings", heard); w.number != many+2 {
		t.Fatalf("%+v", w)
	}
}

// A Warpgate of the version before is told the same, without the frames that it does not
// know, and as quickly as it reads.
func TestRow1RevocationsToTheVersionBefore(t *testing.T) {
	feed := &reel{end: 3000}
	h := tunnel.NewHub(tunnel.HubConfig{Revocations: func(string, mezu.Told) tunnel.Feed { return feed }, Limits: tunnel.Limits{Heartbeat: time.Hour, Dead: time.Hour}})
	t.Cleanup(h.Close)
	g := join(t, h, newWarpgateID())
	for i := 0; i < 3000; {
		f := g.next()
		switch f.kind {
		case statement:
			i++
		case want:
		default:
			t.Fatalf("frame %#x", f.kind)
		}
	}
	feed.grow(1)
	h.Look("")
	if f := g.next(); f.kind != statement {
		t.Fatalf("frame %#x", f.kind)
	}
	g.write(frame32(taken, 1))
	if err := receive(t, "the end of one that counts what it was not asked to", g.ended); !errors.Is(err, tunnel.ErrProtocol) {
		t.Errorf("it ended with %v", err)
	}
}

// A certificate that was revoked between handshake and registration opens nothing: Cut
// has not seen it.
func TestRow14RevokedDuringRegistration(t *testing.T) {
	ca := newAuthority(t)
	e := startEdge(t, ca, "", tunnel.HubConfig{Revoked: func(serial string) bool { return serial != "" }})
	l := startLink(t, e, newWarpgateID(), tunnel.LinkConfig{})
	var refusal *tunnel.RefusedError
	if err := l.await(t, tunnel.LinkDisconnected); !errors.As(err, &refusal) || refusal.Err.Code != mezu.CodeUnauthenticated {
		t.Fatalf("it ended with %v", err)
	}
	if n := len(e.Presence()); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

package tunnels_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/requests"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/screen/screentest"
)

func bare() *look.Theme { return look.New(look.None, look.Unicode()) }

func lacks(t *testing.T, st *screentest.Stage, unwanted string) {
	t.Helper()
	if view := st.View(); strings.Contains(view, unwanted) {
		t.Errorf("it shows %q:\n%s", unwanted, view)
	}
}

// A configuration that is not the newest has a sign, and nothing is said where nobody knows.
func TestBehind(t *testing.T) {
	for _, w := range []int{40, 80, 200} {
		h := drawn()
		h.newest = mezu.Position{Epoch: 1, Revision: 4190}
		screentest.Golden(t, fmt.Sprintf("behind-%d", w), shown(t, h, w, 24, bare()).View(), *update)
	}
	h := drawn()
	const behind = "rev 1:4182 ▲"
	st := shown(t, h, 80, 24, bare())
	lacks(t, st, behind)
	h.newest = mezu.Position{Epoch: 1, Revision: 4190}
	st.Pass(time.Minute)
	shows(t, st, behind)
	record := h.all[0]
	record.Bundle = h.newest
	st.Send(feed.Batch{Events: []local.Event{{Event: mezu.Event{Event: local.EventTunnel}, TunnelID: record.ID, Record: &record}}})
	shows(t, st, "rev 1:4190  ")
}

// What the control plane has said last stays, with its age, when it doesn't answer.
func TestGuardGrowsOld(t *testing.T) {
	h := drawn()
	h.newest = mezu.Position{Epoch: 1, Revision: 4190}
	st := shown(t, h, 80, 24, bare())
	h.err = &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the control plane does not answer"}
	st.Pass(2 * time.Minute)
	shows(t, st, "public, 2 m old   rev 1:4182 ▲")
	h.err = nil
	st.Pass(time.Minute)
	shows(t, st, "public   rev")
	// Who was never told says nothing.
	h.err = mezu.Errorf(mezu.CodeUnauthenticated, "nobody is logged in")
	shows(t, shown(t, h, 80, 24, bare()), "–   rev 1:4182  ")
}

// A probe tells how links are now. Their states are told by events, which may be newer.
func TestProbeMeasuresLinks(t *testing.T) {
	h := drawn()
	h.links = []mezu.Link{{Edge: "1", State: mezu.LinkConnected, RoundTripMS: 71, Connections: 5}, {Edge: "2", State: mezu.LinkDown}}
	st := shown(t, h, 80, 24, bare())
	shows(t, st, "● fra-1   71 ms   5 con", "● ams-1    9 ms   4 con")
	st.C.Paused = true
	st.Send(screen.Freed{Paused: true})
	h.links[0].Connections = 8
	st.Press("p")
	shows(t, st, "5 con")
	st.C.Paused = false
	st.Send(screen.Freed{})
	shows(t, st, "8 con")
}

// The Host header of the target is the host that a browser on this machine would send.
func TestHostOfTheTarget(t *testing.T) {
	for target, want := range map[string]string{"h2c://localhost:5000": "Host: localhost ", "https://127.0.0.1:8443": "Host: 127.0.0.1 ", "http://[::1]:80": "Host: ::1 ", "unix:/run/app.sock": "Host: localhost ", "/home/ada/src/shop/site": "→ ./site  Vite  up  "} {
		h := drawn()
		h.all[0].Target = target
		st := shown(t, h, 130, 24, bare())
		shows(t, st, want)
		if target[0] == '/' {
			lacks(t, st, "Host: ")
		}
	}
}

// What is opened twice in the third column is opened on the screen of requests, and this one stays.
func TestDoubleClickOnTheRequest(t *testing.T) {
	st := shown(t, drawn(), 200, 40, bare())
	before := len(said[screen.GoTo](st))
	st.Run(st.Screen.(screen.Pointed).Click(&st.C, 190, 3, true))
	if g := said[screen.GoTo](st); len(g) != before+1 || g[before].Screen != requests.Number {
		t.Errorf("went to %+v", g)
	}
	shows(t, st, "┌ Tunnels ")
}

// Where nothing of a request is shown, no key moves the cursor into it.
func TestKeysOfTheLastRequests(t *testing.T) {
	st := shown(t, drawn(), 80, 24, bare())
	st.Press("tab")
	for _, b := range st.Screen.Keys(&st.C) {
		if slices.ContainsFunc(b.Keys, func(key string) bool { return slices.Contains([]string{"u", "x", "w", "d", "left", "right"}, key) }) {
			t.Errorf("%s: %s", b.Label(), b.Help)
		}
	}
	st.C.Layout, st.C.Width = screen.LayoutOf(200), 200
	if _, ok := st.Screen.Keys(&st.C).Find("u"); !ok {
		t.Error("u shows nothing where there are three columns")
	}
}

// Where not all is kept of requests the screen says so.
func TestSaysWhatIsNotKept(t *testing.T) {
	for _, w := range []int{40, 80, 130, 200} {
		h := drawn()
		h.depth = mezu.DepthHeads
		shows(t, shown(t, h, w, 24, bare()), "bodies are left out")
		h.depth, h.rows = mezu.DepthNone, nil
		shows(t, shown(t, h, w, 24, bare()), "only failures are kept")
		lacks(t, shown(t, drawn(), w, 24, bare()), " are ")
	}
}

package tunnels_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/newtunnel"
	"github.com/mezusphere/mezu/tui/requests"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/screen/screentest"
	"github.com/mezusphere/mezu/tui/tunnels"
)

// said are the messages to the dashboard of one kind.
func said[T any](st *screentest.Stage) (out []T) {
	for _, m := range st.Said {
		if m, ok := m.(T); ok {
			out = append(out, m)
		}
	}
	return out
}

func shows(t *testing.T, st *screentest.Stage, want ...string) {
	t.Helper()
	view := st.View()
	for _, w := range want {
		if !strings.Contains(view, w) {
			t.Errorf("it doesn't show %q:\n%s", w, view)
		}
	}
}

func TestKeys(t *testing.T) {
	h := drawn()
	st := shown(t, h, 80, 24, screentest.Plain())
	st.Press("s", "r", "D", "c", "o", "enter", "p")
	if got := strings.Join(h.done, ", "); got != "stop shop/dev-ada, stop shop/dev-ada, start shop/dev-ada, leave shop/dev-ada" {
		t.Errorf("done: %s", got)
	}
	const url = "https://shop-dev-ada-acme.edge.example.com"
	if c, b := said[screen.Copy](st), said[screen.Browse](st); len(c) != 1 || c[0].Text != url || len(b) != 1 || b[0].URL != url {
		t.Errorf("copied %+v, opened %+v", c, b)
	}
	if g := said[screen.GoTo](st); len(g) != 1 || g[0].Screen != requests.Number || g[0].Then != (requests.Show{Filter: "tunnel:shop/dev-ada"}) {
		t.Errorf("went to %+v", g)
	}
	st.Press("G", "s")
	if got := h.done[len(h.done)-1]; got != "start shop/dev-ada-hook" {
		t.Errorf("s on a stopped one: %s", got)
	}
}

// What can't be undone asks, and wants the name typed.
func TestRemoveAsks(t *testing.T) {
	h := drawn()
	st := shown(t, h, 80, 24, screentest.Plain())
	st.Press("x")
	asks := said[screen.Ask](st)
	if len(asks) != 1 || asks[0].Question != "Remove shop/dev-ada, its address and its Warpgate?" || asks[0].Word != "dev-ada" || len(h.done) > 0 {
		t.Fatalf("asked %+v, done %v", asks, h.done)
	}
	st.Run(asks[0].Then)
	if len(h.done) != 1 || h.done[0] != "remove shop/dev-ada" {
		t.Errorf("done %v", h.done)
	}
	if s := said[screen.Say](st); len(s) != 1 || s[0].Text != "removed shop/dev-ada; its environment stays" {
		t.Errorf("said %+v", s)
	}
}

// q says what ends, and D changes that.
func TestSaysWhatEnds(t *testing.T) {
	st := shown(t, drawn(), 80, 24, screentest.Plain())
	ends := said[screen.Ends](st)
	if len(ends) != 1 || ends[0].Text != "closes shop/dev-ada; D leaves it running" {
		t.Fatalf("%+v", ends)
	}
	st.Press("D")
	if ends = said[screen.Ends](st); ends[len(ends)-1].Text != "" {
		t.Errorf("%+v", ends)
	}
	if e := said[screen.Edges](st); len(e) == 0 || e[len(e)-1] != (screen.Edges{Up: 2, All: 2}) {
		t.Errorf("edges %+v", e)
	}
}

func TestForms(t *testing.T) {
	h := drawn()
	st := shown(t, h, 80, 24, screentest.Plain())
	st.Press("h")
	for range "target" {
		st.Press("backspace")
	}
	st.Press("localhost:3000", "enter", "b", "right", "right", "tab", "guest", "enter")
	if got := strings.Join(h.done, ", "); got != "host localhost:3000 shop/dev-ada, protect {Directory: User:guest CIDRs:[] Public:false} shop/dev-ada" {
		t.Errorf("done: %s", got)
	}
	shows(t, st, "guest", "MADE")
	st.Press("x", "c", "esc")
	if s, c := said[screen.Say](st), said[screen.Copy](st); len(s) != 2 || strings.Contains(s[1].Text, "MADE") || len(c) != 1 || c[0].Text != "MADE" || st.Overlay != nil {
		t.Errorf("said %+v, copied %+v", s, c)
	}
}

func TestErrorsAreSaid(t *testing.T) {
	h := drawn()
	h.err = &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the daemon does not answer", Hint: "mezu daemon restart"}
	st := shown(t, h, 80, 24, screentest.Plain())
	st.Press("s")
	if s := said[screen.Say](st); len(s) != 1 || !s[0].Bad || !strings.Contains(s[0].Text, "mezu daemon restart") {
		t.Errorf("said %+v", s)
	}
	shows(t, st, "● live") // what was under way is no longer
}

func TestFollowsEvents(t *testing.T) {
	h := drawn()
	st := shown(t, h, 80, 24, screentest.Plain())
	event := func(kind mezu.EventKind, id string) local.Event {
		return local.Event{Event: mezu.Event{Event: kind, Time: st.C.Now}, TunnelID: id}
	}
	st.Press("down")
	// One comes before the selected one, which stays selected.
	record := h.all[0]
	record.ID, record.Name, record.Environment = "tun_a", "shop/dev-aaa", "dev-aaa"
	e := event(local.EventTunnel, "tun_a")
	e.Record = &record
	st.Send(feed.Batch{Events: []local.Event{e}})
	shows(t, st, "dev-aaa", "5 · 4 up", "▸ dev-ada-api")
	// It goes.
	st.Send(feed.Batch{Events: []local.Event{event(local.EventTunnel, "tun_a")}})
	shows(t, st, "4 · 3 up", "▸ dev-ada-api")
	// A link is lost.
	e = event(local.EventLink, "tun_dev-ada")
	e.Link = &mezu.Link{Edge: "2", Name: "ams-1", State: mezu.LinkDown}
	st.Send(feed.Batch{Events: []local.Event{e}})
	st.Press("up")
	shows(t, st, "○ ams-1", "down")
	// The selected one goes.
	st.Send(feed.Batch{Events: []local.Event{event(local.EventTunnel, "tun_dev-ada")}})
	shows(t, st, "▸ dev-ada-api", "3 · 2 up")
	// Another daemon has none of them.
	st.Send(feed.Listing{})
	shows(t, st, "no tunnel is open here")
}

func TestOpenedTunnelIsSelectedAndHeld(t *testing.T) {
	h := drawn()
	st := shown(t, h, 80, 24, screentest.Plain())
	made := h.all[0]
	made.ID, made.Name, made.Environment = "tun_new", "shop/dev-ada-web", "dev-ada-web"
	st.Send(newtunnel.Opened{Tunnel: made, User: "guest", Password: "ONCE"})
	if ends := said[screen.Ends](st); ends[len(ends)-1].Text != "closes shop/dev-ada, shop/dev-ada-web; D leaves one running" {
		t.Errorf("%+v", ends)
	}
	shows(t, st, "guest", "ONCE")
	st.Press("esc")
	shows(t, st, "▸ dev-ada-web")
}

func TestDialogFirst(t *testing.T) {
	cfg := config(drawn())
	cfg.Dialog = true
	st := screentest.New(t, tunnels.New(cfg), 80, 24, screentest.Plain())
	st.Send(screen.Moved{})
	shows(t, st, "┌ New tunnel ", "5173")
	st.Press("esc")
	st.Send(screen.Second{})
	if st.Overlay != nil {
		t.Error("it opens again")
	}
}

// The clock may jump, and a daemon may begin anew: what is drawn stays right.
func TestClockJumps(t *testing.T) {
	h := drawn()
	st := shown(t, h, 80, 24, screentest.Plain())
	for _, jump := range []time.Duration{-48 * time.Hour, 96 * time.Hour, -time.Second, 0} {
		st.C.Now = st.C.Now.Add(jump)
		is := mezu.TunnelStats{Requests: 5, Classes: [5]uint64{0, 5}, PerSecond: 1}
		st.Send(feed.Batch{Events: []local.Event{{Event: mezu.Event{Event: local.EventStats, Time: st.C.Now}, TunnelID: "tun_dev-ada", Stats: &is}}})
		st.Pass(time.Second)
		shows(t, st, "req/s")
	}
}

// TestC2_NamesAndErrorsAreText: of the control plane and of workloads.
func TestC2_NamesAndErrorsAreText(t *testing.T) {
	for _, evil := range []string{"\x1b[2J\x1b]0;x\a", "\u202e\u2066", "\xff\xfe", strings.Repeat("x", 1<<20), "e" + strings.Repeat("\u0301", 1<<19)} {
		h := drawn()
		one := &h.all[0]
		one.Name, one.Project, one.Environment, one.URL, one.Target, one.Detail, one.Hint, one.State = evil, evil, evil, "https://"+evil, evil, evil, evil, mezu.TunnelState(evil)
		one.Workload.Program, one.Workload.Detail, one.HostHeader, one.AllowTargets = evil, evil, evil, []string{evil}
		one.BasicAuth = &mezu.TunnelPassword{User: evil}
		one.Links = []mezu.Link{{Name: evil, State: mezu.LinkState(evil), Error: evil}}
		h.rows[0].Path, h.rows[0].Code = evil, mezu.Code(evil)
		for _, w := range []int{40, 80, 130, 200} {
			st := shown(t, h, w, 24, screentest.Plain())
			v := st.View()
			st.Press("Q")
			for _, v := range []string{v, st.View()} {
				if strings.ContainsAny(v, "\a\u202e\u2066") || strings.Contains(v, "\x1b[2J") || strings.Contains(v, "\x1b]") || len(v) > 1<<17 {
					t.Errorf("%d columns, %d bytes: %.300q", w, len(v), v)
				}
			}
		}
	}
}

// Lines are as wide as the terminal at every size, with each panel in focus.
func TestEverySize(t *testing.T) {
	for w := 40; w <= 220; w += 20 {
		for h := 12; h <= 60; h += 12 {
			for _, keys := range [][]string{nil, {"tab"}, {"n"}, {"Q"}} {
				st := shown(t, drawn(), w, h, screentest.Plain())
				st.Press(keys...)
				st.View()
			}
			shown(t, &here{}, w, h, screentest.Plain()).View()
		}
	}
}

func TestHundredTunnels(t *testing.T) {
	h := &here{}
	for n := range mezu.MaxTunnels {
		h.all = append(h.all, mezu.Tunnel{ID: fmt.Sprint("tun_", n), Name: fmt.Sprintf("shop/t-%03d", n), State: mezu.TunnelLive, TunnelSpec: mezu.TunnelSpec{Project: "shop", Environment: fmt.Sprintf("t-%03d", n)}})
	}
	st := shown(t, h, 80, 24, screentest.Plain())
	shows(t, st, "▸ t-000", "100 · 100 up")
	st.Press("G")
	shows(t, st, "▸ t-099")
	st.Press("pgup", "g")
	shows(t, st, "▸ t-000")
	s := st.Screen.(screen.Pointed)
	st.Run(s.Wheel(&st.C, 5, 3, 3))
	shows(t, st, "▸ t-003")
	st.Run(s.Click(&st.C, 5, 2, true))
	if g := said[screen.GoTo](st); len(g) != 1 {
		t.Errorf("a double click went to %+v", g)
	}
}

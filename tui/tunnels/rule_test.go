package tunnels_test

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/screen/screentest"
)

// TestPaused: nothing moves while the dashboard is paused: no figure, no state, no row.
func TestPaused(t *testing.T) {
	for _, w := range []int{40, 80, 130, 200} {
		h := drawn()
		st := shown(t, h, w, 24, screentest.Plain())
		st.Freeze(func() {
			down := h.all[0]
			down.State = mezu.TunnelDown
			fresh := fixed("tun_dev-ada", mezu.TunnelStats{Requests: 1_000_000, PerSecond: 4711, P99MS: 999, InFlight: 77})
			fresh.Event.Time = screentest.Now().Add(time.Second)
			st.Send(feed.Batch{Events: []local.Event{fresh, {TunnelID: down.ID, Event: mezu.Event{Event: local.EventTunnel}, Record: &down}, {TunnelID: "tun_dev-ada-docs", Event: mezu.Event{Event: local.EventTunnel}}}})
			st.Pass(time.Minute)
		})
		// It is another daemon that was listed meanwhile.
		st.Freeze(func() { st.Send(feed.Listing{Tunnels: h.all[1:]}) })
	}
}

// TestHostile: what tunnels, workloads and edges are called, and say, drives nothing.
func TestHostile(t *testing.T) {
	for _, size := range [][2]int{{40, 24}, {80, 16}, {80, 24}, {130, 30}, {200, 40}} {
		for _, glyphs := range []look.Glyphs{look.Unicode(), look.ASCII()} {
			h, bad := drawn(), screentest.Hostile()
			for i := range h.all {
				is := &h.all[i]
				is.Name, is.Environment, is.URL, is.Target, is.HostHeader, is.Detail, is.Hint = bad, bad, bad, bad, bad, bad, bad
				is.Workload.Program, is.Workload.Detail = bad, bad
				is.AllowTargets = []string{bad, bad}
				is.Links = append(is.Links, mezu.Link{Edge: bad, Name: bad, State: mezu.LinkState(bad)})
				is.BasicAuth = &mezu.TunnelPassword{User: bad}
			}
			h.all[1].State, h.all[2].Detail = mezu.TunnelState(bad), ""
			h.rows[0].Path, h.rows[0].Method, h.rows[1].Code = bad, bad, mezu.Code(bad)
			h.err = &mezu.Error{Code: mezu.CodeInternal, Detail: bad, Hint: bad}
			st := shown(t, h, size[0], size[1], look.New(look.Dark, glyphs))
			for range len(h.all) {
				st.View()
				st.Press("down")
			}
			for _, key := range []string{"Q", "h", "b", "n"} {
				st.Overlay = nil
				st.Press(key)
				st.View()
			}
			st.Overlay = nil
			st.Send(feed.Away{Err: h.err})
			st.View()
		}
	}
}

// TestMouse: a click selects, a second one opens, and the wheel scrolls what is below it.
func TestMouse(t *testing.T) {
	st := shown(t, drawn(), 80, 24, screentest.Plain())
	st.Mouse(3, 10) // elsewhere are the details
	st.Said = nil
	st.Run(st.Screen.(screen.Pointed).Click(&st.C, 10, 2, true))
	if len(st.Said) == 0 {
		t.Error("a double click opens nothing")
	}
}

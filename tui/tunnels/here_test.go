package tunnels_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/newtunnel"
	"github.com/mezusphere/mezu/tui/requests"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/screen/screentest"
	"github.com/mezusphere/mezu/tui/tunnels"
)

// here is what daemon and control plane would answer.
type here struct {
	all  []mezu.Tunnel
	rows []mezu.Exchange
	done []string
	err  error
	// newest is the newest configuration of the first tunnel, links what a probe finds of its
	// links, and depth how much is kept of requests.
	newest mezu.Position
	links  []mezu.Link
	depth  mezu.ExchangeDepth
}

func (h *here) did(what string, t mezu.Tunnel) error {
	h.done = append(h.done, what+" "+t.Name)
	return h.err
}

func (h *here) Tunnels(context.Context) ([]mezu.Tunnel, error) { return h.all, nil }

func (h *here) Follow(context.Context, func(), func(local.Event)) error { return errors.New("ended") }

func (h *here) Start(_ context.Context, t mezu.Tunnel) error { return h.did("start", t) }
func (h *here) Stop(_ context.Context, t mezu.Tunnel) error  { return h.did("stop", t) }
func (h *here) Leave(_ context.Context, t mezu.Tunnel) error { return h.did("leave", t) }

func (h *here) Remove(_ context.Context, t mezu.Tunnel) (string, error) {
	return "its environment stays", h.did("remove", t)
}

func (h *here) Host(_ context.Context, t mezu.Tunnel, host string) error {
	return h.did("host "+host, t)
}

func (h *here) Protect(_ context.Context, t mezu.Tunnel, a newtunnel.Access) (string, error) {
	return "MADE", h.did(fmt.Sprintf("protect %+v", a), t)
}

func (h *here) Probe(context.Context, mezu.Tunnel) (local.Probe, error) {
	up := true
	return local.Probe{ConnectMS: 11, Workload: mezu.Workload{Up: &up}, Links: h.links}, h.err
}

func (h *here) Guard(context.Context, mezu.Tunnel) (tunnels.Guard, error) {
	return tunnels.Guard{Open: "public", Newest: h.newest}, h.err
}

func (h *here) Shutdown(context.Context) error { return h.did("shutdown", mezu.Tunnel{}) }

func (h *here) Listening(context.Context) ([]newtunnel.Listener, error) {
	return []newtunnel.Listener{{Port: 5173, Program: "node", Command: "vite"}}, nil
}

func (h *here) Site(context.Context, string) (newtunnel.Site, error) {
	return newtunnel.Site{Environment: "dev-ada"}, nil
}

func (h *here) Open(context.Context, newtunnel.Wish) (newtunnel.Opened, error) {
	return newtunnel.Opened{Tunnel: h.all[0]}, nil
}

func (h *here) Requests(context.Context, local.RequestsQuery) (local.Requests, error) {
	return local.Requests{Items: h.rows, InspectorState: local.InspectorState{Kept: len(h.rows), MaxKept: 500, MaxBytes: 64 << 20, Revision: 9, Depth: h.depth}}, nil
}

func (h *here) Exchange(_ context.Context, id string, _ bool) (mezu.ExchangeDetail, error) {
	for _, e := range h.rows {
		if e.ID == id {
			return mezu.ExchangeDetail{Exchange: e, Request: mezu.ExchangeMessage{Line: e.Method + " " + e.Path + " HTTP/1.1"}}, nil
		}
	}
	return mezu.ExchangeDetail{}, mezu.Errorf(mezu.CodeNotFound, "gone")
}

func (h *here) Frames(context.Context, string, int, int) (local.Frames, error) {
	return local.Frames{}, nil
}

func (h *here) Body(context.Context, string, string, local.Form, bool) (local.Content, error) {
	return local.Content{}, nil
}

func (h *here) Frame(context.Context, string, int, local.Form, bool) (local.Content, error) {
	return local.Content{}, nil
}

func (h *here) Diff(context.Context, string, string, bool) (local.Difference, error) {
	return local.Difference{}, nil
}

func (h *here) Replay(context.Context, string, local.Replay) (local.Replayed, error) {
	return local.Replayed{}, nil
}

func (h *here) Pin(context.Context, string, bool) (mezu.Exchange, error) {
	return mezu.Exchange{}, nil
}

func (h *here) Clear(context.Context, string) (local.Cleared, error) { return local.Cleared{}, nil }

func (h *here) Curl(context.Context, string, bool) (string, error) { return "curl", nil }

func (h *here) HAR(context.Context, io.Writer, local.HARQuery) error { return nil }

func (h *here) Draft(context.Context, string) (requests.Draft, []string, error) {
	return nil, nil, nil
}

// at is a time of the day of the drawings.
func at(clock string) time.Time {
	t, err := time.Parse("15:04:05", clock)
	if err != nil {
		panic(err)
	}
	day := screentest.Now()
	return time.Date(day.Year(), day.Month(), day.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// drawn is what the drawing of screen 1 shows.
func drawn() *here {
	now := screentest.Now()
	up := true
	tunnel := func(name, target string, state mezu.TunnelState) mezu.Tunnel {
		return mezu.Tunnel{ID: "tun_" + name, Name: "shop/" + name, State: state, URL: "https://shop-" + name + "-acme.edge.example.com", Warpgate: "wgt_7Q2", Bundle: mezu.Position{Epoch: 1, Revision: 4182},
			CertificateEnds: now.Add(6*24*time.Hour + 4*time.Hour + time.Minute), TunnelSpec: mezu.TunnelSpec{Project: "shop", Environment: name, Organization: "acme", TunnelTarget: mezu.TunnelTarget{Target: target}}}
	}
	h := &here{all: []mezu.Tunnel{tunnel("dev-ada", "localhost:5173", mezu.TunnelLive), tunnel("dev-ada-api", "localhost:8080", mezu.TunnelLive), tunnel("dev-ada-docs", "/home/ada/src/shop/site", mezu.TunnelPartly), tunnel("dev-ada-hook", mezu.TargetCapture, mezu.TunnelStopped)}}
	ada := &h.all[0]
	ada.HostHeader, ada.Workload = mezu.HostTarget, mezu.Workload{Up: &up, Program: "vite"}
	ada.Links = []mezu.Link{{Edge: "1", Name: "fra-1", State: mezu.LinkConnected, RoundTripMS: 2, Connections: 6}, {Edge: "2", Name: "ams-1", State: mezu.LinkConnected, RoundTripMS: 9, Connections: 4}}
	h.all[2].Links = []mezu.Link{{Edge: "1", Name: "fra-1", State: mezu.LinkConnected, RoundTripMS: 2}, {Edge: "2", Name: "ams-1", State: mezu.LinkDown}}
	row := func(n int, clock, method, path string, status int, ms float64, size int64) mezu.Exchange {
		return mezu.Exchange{ID: fmt.Sprintf("7f3a%02d5b9dc2", n), Sequence: uint64(100 - n), Revision: 1, Kind: mezu.ExchangeHTTP, Method: method, Path: path, Status: status, StartedAt: at(clock), DurationMS: ms, BytesOut: size}
	}
	h.rows = []mezu.Exchange{row(1, "14:02:31", "GET", "/src/App.tsx", 200, 3, 1200), row(2, "14:02:31", "GET", "/src/main.tsx", 304, 1, 0), row(3, "14:02:30", "GET", "/", 101, 242_000, 0), row(4, "14:02:27", "POST", "/api/orders", 500, 41, 312)}
	h.rows[2].Kind, h.rows[2].Frames, h.rows[2].Query, h.rows[3].Code = mezu.ExchangeWebSocket, 18, "?token="+mezu.Mask, mezu.CodeWorkloadReset
	return h
}

// figures are those of a tunnel in each of the last seconds, as the daemon tells them.
func figures(id string, seconds int) []local.Event {
	const bars = "▁▂▃▄▅▆▇█"
	drawn := []rune("▁▂▂▃▅▇█▇▅▃▂▂▁▁▂▃▃▅▆▇▇█▇▆▅▃▂▁▂▃▅▆")
	slow := []rune("▂▂▂▂▃▂▂▂▂▂▂▂▂▅▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂")
	height := func(r rune) int { return strings.IndexRune(bars, r)/3 + 1 }
	var is mezu.TunnelStats
	var out []local.Event
	for second := range seconds {
		cell := second * len(drawn) / seconds
		n := uint64(height(drawn[cell])) * 7
		is.Requests += n
		is.Classes[1] = is.Requests * 97 / 100
		is.Classes[2] = is.Requests * 2 / 100
		is.Classes[3] = is.Requests * 6 / 1000
		is.Classes[4] = is.Requests * 4 / 1000
		is.BytesIn, is.BytesOut = is.BytesIn+12_000, is.BytesOut+1_400_000
		is.InFlight, is.Sockets, is.PerSecond, is.P50MS, is.P99MS = 6, 2, 42, 3, float64(height(slow[cell]))*17
		now := is
		if second == seconds-1 {
			now.P99MS = 88
		}
		out = append(out, local.Event{Event: mezu.Event{Event: local.EventStats, Time: screentest.Now().Add(time.Duration(second-seconds+1) * time.Second)}, TunnelID: id, Stats: &now})
	}
	return out
}

// fixed are figures without a past.
func fixed(id string, is mezu.TunnelStats) local.Event {
	return local.Event{Event: mezu.Event{Event: local.EventStats, Time: screentest.Now()}, TunnelID: id, Stats: &is}
}

func config(h *here) tunnels.Config {
	return tunnels.Config{Daemon: h, Actions: h, Settings: h, Looks: h, Opening: h, Held: []string{"tun_dev-ada"},
		Show: func(target string) string {
			if target == mezu.TargetCapture {
				return mezu.CaptureOnly
			}
			return strings.Replace(target, "/home/ada/src/shop/", "./", 1)
		},
		Requests: requests.Config{Inspector: h, Contents: h, Actions: h, Exports: h, Drafts: h}}
}

// shown shows the screen with what is there.
func shown(t *testing.T, h *here, w, height int, theme *look.Theme) *screentest.Stage {
	st := screentest.New(t, tunnels.New(config(h)), w, height, theme)
	st.C.Now = st.C.Now.Add(-3 * time.Second)
	st.Send(feed.Listing{Tunnels: h.all})
	st.C.Now = screentest.Now()
	if len(h.all) == 4 {
		st.Send(feed.Batch{Events: append(figures("tun_dev-ada", map[bool]int{true: 120, false: 60}[w >= 160]), fixed("tun_dev-ada-api", mezu.TunnelStats{Requests: 1000, Classes: [5]uint64{0, 979, 0, 0, 21}, PerSecond: 7.1, P50MS: 12, P99MS: 240}))})
	}
	st.Pass(0)
	return st
}

var _ screen.Screen = (*tunnels.Screen)(nil)

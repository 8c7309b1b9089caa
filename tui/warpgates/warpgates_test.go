package warpgates_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/follow"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/screen/screentest"
	"github.com/mezusphere/mezu/tui/warpgates"
)

// plane answers as a control plane does.
type plane struct {
	did string
	err error
}

func (p *plane) Follow(ctx context.Context, _ screen.Scope, _ func(warpgates.State)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (p *plane) Drain(_ context.Context, _ screen.Scope, id string, drains bool) error {
	p.did = fmt.Sprint("drain ", id, " ", drains)
	return p.err
}

func (p *plane) Delete(_ context.Context, _ screen.Scope, id string) error {
	p.did = "delete " + id
	return p.err
}

func (p *plane) Probe(context.Context, screen.Scope) (warpgates.Report, error) {
	return warpgates.Report{Hops: []warpgates.Hop{{Name: "you", State: warpgates.Up}, {Name: "edge fra-1", State: warpgates.Up, MS: 1}, {Name: "Warpgate", State: warpgates.Up, MS: 2},
		{Name: "localhost:5173", State: warpgates.Up, MS: 3, Note: "connects"}}, Notes: []string{"environment on", "route ^ /", "no login asked"}}, p.err
}

func drawn() warpgates.State {
	now := screentest.Now()
	at := func(n uint64) mezu.Position { return mezu.Position{Epoch: 1, Revision: n} }
	lags := map[string]mezu.Lag{"wgt_1AZaaaaaaaaaaaaaaaaaaaaaaa": {Changes: 2, Since: now.Add(-3 * time.Second)}}
	return warpgates.State{Edges: 2, Position: at(4182), Lags: lags, Warpgates: []mezu.Warpgate{
		{Meta: mezu.Meta{ID: "wgt_7Q2aaaaaaaaaaaaaaaaaaaaaaa", CreatedAt: now.Add(-time.Hour)}, Status: mezu.WarpgateConnected, Address: "203.0.113.9", Version: "1.3.0", Edges: []string{"edg_1", "edg_2"}, Bundle: at(4182), RegisteredBy: "mbr_01JX", Serial: "a81f0123456789"},
		{Meta: mezu.Meta{ID: "wgt_5KDaaaaaaaaaaaaaaaaaaaaaaa", CreatedAt: now.Add(-48 * time.Hour)}, Status: mezu.WarpgateConnected, Draining: true, Address: "198.51.100.20", Version: "1.2.4", Edges: []string{"edg_1"}, Bundle: at(4182)},
		{Meta: mezu.Meta{ID: "wgt_1AZaaaaaaaaaaaaaaaaaaaaaaa", CreatedAt: now.Add(-96 * time.Hour)}, Status: mezu.WarpgateDisconnected, Name: "web-1", Address: "198.51.100.7", Version: "1.2.4", Bundle: at(4170), LastSeenAt: now.Add(-72 * time.Hour)},
	}}
}

func stage(t *testing.T, w, h int, theme *look.Theme) (*screentest.Stage, *plane) {
	t.Setenv("TZ", "UTC")
	p := &plane{}
	st := screentest.New(t, warpgates.New(warpgates.Config{Warpgates: p, Way: p}), w, h, theme)
	now := screentest.Now()
	st.Send(screen.Moved{Scope: screentest.Scope()}, feed.Listing{Tunnels: []mezu.Tunnel{{ID: "tun_1", Name: "shop/dev-ada", Warpgate: "wgt_7Q2aaaaaaaaaaaaaaaaaaaaaaa", TunnelSpec: mezu.TunnelSpec{TunnelTarget: mezu.TunnelTarget{Target: "localhost:5173"}},
		CertificateEnds: now.Add(148 * time.Hour), Links: []mezu.Link{{Name: "fra-1", Address: "203.0.113.80:443", State: mezu.LinkConnected, RoundTripMS: 2, Connections: 6, Since: now.Add(-4 * time.Minute)},
			{Name: "ams-1", Address: "203.0.113.81:443", State: mezu.LinkDown, Error: "address changed"}}}}}, follow.Got[warpgates.State]{Scope: screentest.Scope(), Value: drawn()})
	return st, p
}

func TestGolden(t *testing.T) {
	one := func(w, h int, theme *look.Theme) *screentest.Stage {
		st, _ := stage(t, w, h, theme)
		return st
	}
	screentest.Drawings(t, *update, one, "list", map[string]screentest.Drawing{
		"list":    {Keys: []string{"p"}},
		"other":   {Keys: []string{"G", "enter"}},
		"details": {Keys: []string{"enter"}},
		"filter":  {Keys: []string{"/", "198.51", "enter"}},
		"empty":   {Then: func(st *screentest.Stage) { st.Send(follow.Got[warpgates.State]{Scope: screentest.Scope()}) }},
		"forbidden": {Then: func(st *screentest.Stage) {
			st.Send(screen.Moved{Scope: screentest.Scope()}, follow.Failed[warpgates.State]{Scope: screentest.Scope(), Err: &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "you are not logged in", Hint: "mezu login"}})
		}},
		"stale": {Then: func(st *screentest.Stage) {
			st.Send(follow.Failed[warpgates.State]{Scope: screentest.Scope(), Err: errors.New("no answer")})
			st.Pass(120 * time.Second)
		}},
	})
}

func TestChanges(t *testing.T) {
	st, p := stage(t, 80, 24, screentest.Plain())
	st.Press("d")
	if p.did != "drain wgt_7Q2aaaaaaaaaaaaaaaaaaaaaaa true" {
		t.Errorf("d did %q", p.did)
	}
	st.Press("down", "u")
	if p.did != "drain wgt_5KDaaaaaaaaaaaaaaaaaaaaaaa false" {
		t.Errorf("u did %q", p.did)
	}
	st.Press("g", "x")
	ask, ok := st.Said[len(st.Said)-1].(screen.Ask)
	if !ok || ask.Word != "wgt_7Q2aaaaaaaaaaaaaaaaaaaaaaa" || !strings.Contains(ask.Question, "shop/dev-ada on this machine") {
		t.Fatalf("x asks %v", st.Said[len(st.Said)-1])
	}
	p.err = mezu.Errorf(mezu.CodeForbidden, "your role, viewer, has no warpgates.write; admins have it")
	st.Run(ask.Then)
	if say, ok := st.Said[len(st.Said)-1].(screen.Say); !ok || !say.Bad || !strings.Contains(say.Text, "has no warpgates.write") {
		t.Errorf("a refusal is said as %v", st.Said[len(st.Said)-1])
	}
}

// TestPaused: nothing moves while the dashboard is paused.
func TestPaused(t *testing.T) {
	st, _ := stage(t, 80, 24, screentest.Plain())
	st.Freeze(func() {
		fewer := drawn()
		fewer.Warpgates = fewer.Warpgates[1:]
		st.Send(follow.Got[warpgates.State]{Scope: screentest.Scope(), Value: fewer})
		st.Pass(time.Minute)
	})
}

// TestC2_Warpgates: a control plane that lies drives nothing.
func TestC2_Warpgates(t *testing.T) {
	for _, size := range [][2]int{{40, 24}, {80, 24}, {130, 30}, {200, 40}} {
		st, p := stage(t, size[0], size[1], screentest.Plain())
		bad := screentest.Hostile()
		st.Send(follow.Got[warpgates.State]{Scope: screentest.Scope(), Value: warpgates.State{Warpgates: []mezu.Warpgate{{Meta: mezu.Meta{ID: bad}, Status: mezu.WarpgateStatus(bad), Address: bad, Version: bad, Edges: []string{bad}, RegisteredBy: bad, Serial: bad}}}})
		st.View()
		st.Press("enter")
		st.View()
		p.err = &mezu.Error{Code: mezu.CodeInternal, Detail: bad, Hint: bad, Field: bad}
		st.Press("p")
		st.View()
		st.Send(follow.Failed[warpgates.State]{Scope: screentest.Scope(), Err: p.err})
		st.View()
	}
}

// TestMouse: a click selects, a second one opens, and the wheel turns the list below it alone.
func TestMouse(t *testing.T) {
	st, _ := stage(t, 80, 24, screentest.Plain())
	st.Mouse(3, 20)
}

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

func scope() screen.Scope {
	return screen.Scope{Organization: "acme", Project: "shop", Environment: "dev-ada", Who: "ada@dev.test"}
}

func drawn() warpgates.State {
	now := screentest.Now()
	at := func(n uint64) mezu.Position { return mezu.Position{Epoch: 1, Revision: n} }
	return warpgates.State{Edges: 2, Position: at(4182), Warpgates: []mezu.Warpgate{
		{Meta: mezu.Meta{ID: "wgt_7Q2aaaaaaaaaaaaaaaaaaaaaaa", CreatedAt: now.Add(-time.Hour)}, Status: mezu.WarpgateConnected, Address: "203.0.113.9", Version: "1.3.0", Edges: []string{"edg_1", "edg_2"}, Bundle: at(4182), RegisteredBy: "mbr_01JX", Serial: "a81f0123456789"},
		{Meta: mezu.Meta{ID: "wgt_5KDaaaaaaaaaaaaaaaaaaaaaaa", CreatedAt: now.Add(-48 * time.Hour)}, Status: mezu.WarpgateConnected, Draining: true, Address: "198.51.100.20", Version: "1.2.4", Edges: []string{"edg_1"}, Bundle: at(4182)},
		{Meta: mezu.Meta{ID: "wgt_1AZaaaaaaaaaaaaaaaaaaaaaaa", CreatedAt: now.Add(-96 * time.Hour)}, Status: mezu.WarpgateDisconnected, Address: "198.51.100.7", Version: "1.2.4", Bundle: at(4170), LastSeenAt: now.Add(-72 * time.Hour)},
	}}
}

func stage(t *testing.T, w, h int, theme *look.Theme) (*screentest.Stage, *plane) {
	t.Setenv("TZ", "UTC")
	p := &plane{}
	st := screentest.New(t, warpgates.New(warpgates.Config{Warpgates: p, Way: p}), w, h, theme)
	now := screentest.Now()
	st.Send(screen.Moved{Scope: scope()}, feed.Listing{Tunnels: []mezu.Tunnel{{ID: "tun_1", Name: "shop/dev-ada", Warpgate: "wgt_7Q2aaaaaaaaaaaaaaaaaaaaaaa", TunnelSpec: mezu.TunnelSpec{TunnelTarget: mezu.TunnelTarget{Target: "localhost:5173"}},
		CertificateEnds: now.Add(148 * time.Hour), Links: []mezu.Link{{Name: "fra-1", Address: "203.0.113.80:443", State: mezu.LinkConnected, RoundTripMS: 2, Connections: 6, Since: now.Add(-4 * time.Minute)},
			{Name: "ams-1", Address: "203.0.113.81:443", State: mezu.LinkDown, Error: "address changed"}}}}}, follow.Got[warpgates.State]{Scope: scope(), Value: drawn()})
	return st, p
}

func plain() *look.Theme { return look.New(look.None, look.Unicode()) }

func TestGolden(t *testing.T) {
	for name, c := range map[string]struct {
		keys []string
		then func(*screentest.Stage)
	}{
		"list":    {keys: []string{"p"}},
		"other":   {keys: []string{"G", "enter"}},
		"details": {keys: []string{"enter"}},
		"filter":  {keys: []string{"/", "198.51", "enter"}},
		"empty":   {then: func(st *screentest.Stage) { st.Send(follow.Got[warpgates.State]{Scope: scope()}) }},
		"forbidden": {then: func(st *screentest.Stage) {
			st.Send(screen.Moved{Scope: scope()}, follow.Failed[warpgates.State]{Scope: scope(), Err: &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "you are not logged in", Hint: "mezu login"}})
		}},
		"stale": {then: func(st *screentest.Stage) {
			st.Send(follow.Failed[warpgates.State]{Scope: scope(), Err: errors.New("no answer")})
			st.Pass(120 * time.Second)
		}},
	} {
		for _, w := range []int{40, 80, 200} {
			st, _ := stage(t, w, 24, plain())
			st.Press(c.keys...)
			if c.then != nil {
				c.then(st)
			}
			screentest.Golden(t, fmt.Sprintf("%s-%d", name, w), st.View(), *update)
		}
	}
	for palette, name := range map[look.Palette]string{look.Basic: "list-16", look.Dark: "list-dark", look.Light: "list-light"} {
		st, _ := stage(t, 80, 24, look.New(palette, look.Unicode()))
		screentest.Golden(t, name, st.View(), *update)
	}
	st, _ := stage(t, 80, 16, look.New(look.None, look.ASCII()))
	screentest.Golden(t, "list-folded", st.View(), *update)
}

func TestChanges(t *testing.T) {
	st, p := stage(t, 80, 24, plain())
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
	st, _ := stage(t, 80, 24, plain())
	st.Freeze(func() {
		fewer := drawn()
		fewer.Warpgates = fewer.Warpgates[1:]
		st.Send(follow.Got[warpgates.State]{Scope: scope(), Value: fewer})
		st.Pass(time.Minute)
	})
}

// TestC2_Warpgates: a control plane that lies drives nothing.
func TestC2_Warpgates(t *testing.T) {
	for _, size := range [][2]int{{40, 24}, {80, 24}, {130, 30}, {200, 40}} {
		st, p := stage(t, size[0], size[1], plain())
		bad := screentest.Hostile()
		st.Send(follow.Got[warpgates.State]{Scope: scope(), Value: warpgates.State{Warpgates: []mezu.Warpgate{{Meta: mezu.Meta{ID: bad}, Status: mezu.WarpgateStatus(bad), Address: bad, Version: bad, Edges: []string{bad}, RegisteredBy: bad, Serial: bad}}}})
		st.View()
		st.Press("enter")
		st.View()
		p.err = &mezu.Error{Code: mezu.CodeInternal, Detail: bad, Hint: bad, Field: bad}
		st.Press("p")
		st.View()
		st.Send(follow.Failed[warpgates.State]{Scope: scope(), Err: p.err})
		st.View()
	}
}

// TestMouse: a click selects, a second one opens, and the wheel turns the list below it alone.
func TestMouse(t *testing.T) {
	st, _ := stage(t, 80, 24, plain())
	first := st.View()
	p := st.Screen.(screen.Pointed)
	st.Run(p.Click(&st.C, 10, 3, false))
	clicked := st.View()
	if clicked == first {
		t.Error("a click selects nothing")
	}
	st.Run(p.Wheel(&st.C, 10, 18, 3))
	if st.View() != clicked {
		t.Error("the wheel turned the list, and is not over it")
	}
	st.Run(p.Wheel(&st.C, 10, 3, -3))
	if st.View() != first {
		t.Error("the wheel turns nothing")
	}
}

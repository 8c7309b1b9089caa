package routes_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/follow"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/routes"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/screen/screentest"
)

// plane answers as a control plane does.
type plane struct {
	deleted, applied string
	warnings         []string
	err              error
}

func (p *plane) Follow(ctx context.Context, _ screen.Scope, _ func(routes.State)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (p *plane) Delete(_ context.Context, _ screen.Scope, r mezu.Route) error {
	p.deleted = r.Label()
	return p.err
}

func (p *plane) Text(r *mezu.Route) ([]byte, error) {
	if r == nil {
		return []byte("# a route\nprefix: /new/\n"), nil
	}
	return []byte("# a route\n" + string(r.Mode()) + ": " + r.Value() + "\n"), nil
}

func (p *plane) Compare(_ context.Context, _ screen.Scope, _ *mezu.Route, saved []byte) (routes.Proposal, error) {
	if strings.Contains(string(saved), "wrong") {
		return nil, mezu.Invalid("auth", "is one of none, optional, required, not %q", "wrong")
	}
	return change{p, []string{"- timeout: 10s", "+ timeout: 30s"}}, nil
}

type change struct {
	p     *plane
	lines []string
}

func (c change) Lines() []string { return c.lines }

func (c change) Apply(context.Context) ([]string, error) {
	c.p.applied = strings.Join(c.lines, "\n")
	return c.p.warnings, c.p.err
}

func (p *plane) Judge(_ context.Context, _ screen.Scope, q routes.Question) (routes.Verdict, error) {
	if q.User == "nobody@example.com" {
		return routes.Verdict{}, mezu.Errorf(mezu.CodeNotFound, "the directory has no user with the address %s", q.User)
	}
	return routes.Verdict{Allowed: true, Says: "allowed: the workload at localhost:8080 answers", Canonical: "/api/orders", Lines: []routes.Line{
		{Subject: "canonical", Result: "/api/orders   (was " + q.Target + ")"}, {Subject: "= /health", Result: "passed over: another path"},
		{Subject: "~ /users/[0-9]+", Result: "passed over: another path"}, {Subject: "^ /", Result: "passed over: shorter prefix"}, {Subject: "^ /api/", Result: "chosen"},
		{Subject: "  auth", Result: "required   " + q.User}, {Subject: "  roles", Result: "staff   has staff"},
	}}, nil
}

// drawn is the state of the design's drawing.
func drawn() routes.State {
	return routes.State{Position: mezu.Position{Epoch: 1, Revision: 4182}, Edges: 2, AllEdges: 2, Warpgates: 1, AllWarpgates: 1, Routes: []mezu.Route{
		{Meta: mezu.Meta{ID: "rte_1"}, Exact: "/health"},
		{Meta: mezu.Meta{ID: "rte_2"}, Prefix: "/api/", Upstream: "localhost:8080", Auth: mezu.AuthRequired, Timeout: mezu.Duration(30e9), MaxBody: 16 << 20},
		{Meta: mezu.Meta{ID: "rte_3"}, Regexp: "/users/[0-9]+", Methods: []string{"GET"}, Upstream: "localhost:8080", Auth: mezu.AuthRequired},
		{Meta: mezu.Meta{ID: "rte_4"}, Prefix: "/beta/", Upstream: "localhost:8080", Auth: mezu.AuthRequired, AuthMethods: []string{"basic"}},
		{Meta: mezu.Meta{ID: "rte_5"}, Prefix: "/"},
	}}
}

func stage(t *testing.T, w, h int, theme *look.Theme) (*screentest.Stage, *plane) {
	p := &plane{}
	st := screentest.New(t, routes.New(routes.Config{Routes: p, Drafts: p, Judge: p}), w, h, theme)
	st.Send(screen.Moved{Scope: screentest.Scope()}, follow.Got[routes.State]{Scope: screentest.Scope(), Value: drawn()})
	return st, p
}

func TestGolden(t *testing.T) {
	one := func(w, h int, theme *look.Theme) *screentest.Stage {
		st, _ := stage(t, w, h, theme)
		return st
	}
	screentest.Drawings(t, *update, one, "list", map[string]screentest.Drawing{
		"list":     {Keys: []string{"down"}},
		"try":      {Keys: []string{"down", "M", "t", "ctrl+u", "/api//orders/../orders?id=7", "tab", "bob@example.com", "enter"}},
		"typing":   {Keys: []string{"t", "api"}},
		"refused":  {Keys: []string{"u", "nobody@example.com", "enter"}},
		"details":  {Keys: []string{"down", "enter"}},
		"filter":   {Keys: []string{"/", "users", "enter"}},
		"none":     {Keys: []string{"/", "nothing", "enter"}},
		"proposed": {Then: func(st *screentest.Stage) { edit(st, "e", "prefix: /api/\ntimeout: 30s\n") }},
		"forbidden": {Then: func(st *screentest.Stage) {
			st.Send(screen.Moved{Scope: screentest.Scope()}, follow.Failed[routes.State]{Scope: screentest.Scope(), Err: mezu.Errorf(mezu.CodeForbidden, "your role, billing, has no routes.read; admins have it")})
		}},
		"stale": {Then: func(st *screentest.Stage) {
			st.Send(follow.Failed[routes.State]{Scope: screentest.Scope(), Err: errors.New("no answer")})
			st.Pass(120_000_000_000)
		}},
	})
	st := one(80, 16, look.New(look.None, look.ASCII()))
	st.Press("t")
	screentest.Golden(t, "try-folded", st.View(), *update)
}

// edit saves a route in the editor.
func edit(st *screentest.Stage, key, saved string) {
	st.Press(key)
	for _, msg := range st.Said {
		if e, ok := msg.(screen.Edit); ok {
			st.Send(e.Then([]byte(saved), true, nil))
		}
	}
}

func TestEdit(t *testing.T) {
	st, p := stage(t, 80, 24, screentest.Plain())
	edit(st, "e", "auth: wrong\n")
	if last := st.Said[len(st.Said)-1]; !strings.Contains(fmt.Sprint(last), "auth: is one of") || st.Overlay != nil {
		t.Fatalf("a wrong route is proposed, or nothing is said: %v", last)
	}
	edit(st, "a", "prefix: /new/\n")
	if st.Overlay == nil || p.applied != "" {
		t.Fatal("it was applied before anybody said so, or nothing is shown")
	}
	st.Press("esc")
	if st.Overlay != nil || p.applied != "" {
		t.Fatal("esc applied it")
	}
	edit(st, "e", "prefix: /api/\n")
	st.Press("enter")
	if p.applied != "- timeout: 10s\n+ timeout: 30s" || st.Overlay != nil {
		t.Fatalf("applied %q", p.applied)
	}
}

// TestWarnings: what the control plane warns of stands there until it is read, and drives nothing.
func TestWarnings(t *testing.T) {
	for _, size := range [][2]int{{40, 24}, {80, 24}, {200, 40}} {
		st, p := stage(t, size[0], size[1], screentest.Plain())
		p.warnings = []string{"strip_prefix is not enforced yet: the route answers 503 until it is", "\x1b]52;c;ZXZpbA==\x07" + strings.Repeat("evil ", 1000)}
		edit(st, "e", "prefix: /api/\n")
		st.Press("enter")
		v := st.View()
		if p.applied == "" || st.Overlay == nil || !strings.Contains(v, "Applied") || !strings.Contains(v, "strip_prefix is not enforced") || strings.Contains(v, "\x1b]") {
			t.Fatalf("at %d columns\n%s", size[0], v)
		}
		// Whoever has closed the panel before the answer came is told, too.
		if !slices.ContainsFunc(st.Said, func(m tea.Msg) bool {
			say, ok := m.(screen.Say)
			return ok && say.Text == "applied, with a warning: strip_prefix is not enforced yet: the route answers 503 until it is"
		}) {
			t.Errorf("said %v", st.Said)
		}
		p.applied = ""
		st.Press("down", "down", "enter")
		if st.Overlay != nil || p.applied != "" {
			t.Errorf("after it was read: applied %q\n%s", p.applied, st.View())
		}
	}
	st, p := stage(t, 80, 24, screentest.Plain())
	p.warnings, p.err = []string{"a warning"}, errors.New("refused")
	edit(st, "e", "prefix: /api/\n")
	st.Press("enter")
	if st.Overlay != nil {
		t.Errorf("a refused change stays\n%s", st.View())
	}
}

// TestVerdictOfElsewhere: the routes of one environment judge nothing in another.
func TestVerdictOfElsewhere(t *testing.T) {
	st, _ := stage(t, 80, 24, screentest.Plain())
	asked := st.Screen.Act(&st.C, "method")
	other := screentest.Scope()
	other.Environment = "staging"
	st.Send(screen.Moved{Scope: other})
	st.Run(asked)
	if v := st.View(); strings.Contains(v, "allowed") {
		t.Errorf("the verdict of before is shown\n%s", v)
	}
}

func TestDelete(t *testing.T) {
	st, p := stage(t, 80, 24, screentest.Plain())
	st.Press("down", "x")
	ask, ok := st.Said[len(st.Said)-1].(screen.Ask)
	if !ok || !strings.Contains(ask.Question, "^ /api/") || p.deleted != "" {
		t.Fatalf("it asks %v", st.Said)
	}
	st.Run(ask.Then)
	if p.deleted != "prefix /api/" {
		t.Errorf("deleted %q", p.deleted)
	}
}

// TestHere counts what this machine served in the last minute, and says if it may be more.
func TestHere(t *testing.T) {
	st, _ := stage(t, 80, 24, screentest.Plain())
	end := local.Event{Event: mezu.Event{Event: mezu.EventRequest, Tunnel: "shop/dev-ada", Route: "prefix /api/"}, Phase: local.PhaseEnd}
	other := end
	other.Tunnel = "shop/dev-bob"
	st.Send(feed.Batch{Events: []local.Event{end, end, other, {Event: mezu.Event{Event: mezu.EventRequest, Tunnel: "shop/dev-ada", Route: "prefix /api/"}, Phase: local.PhaseBegin}}})
	line := func() string {
		for l := range strings.SplitSeq(st.View(), "\n") {
			if strings.Contains(l, "^ /api/") {
				return strings.Join(strings.Fields(strings.Trim(l, "│ ")), " ")
			}
		}
		return ""
	}
	if got := line(); !strings.HasSuffix(got, " 2") {
		t.Errorf("two requests are shown as %q", got)
	}
	st.Pass(30_000_000_000)
	st.Send(feed.Batch{Events: []local.Event{end, {Event: mezu.Event{Event: local.EventGap}}}})
	if got := line(); !strings.HasSuffix(got, " 3+") {
		t.Errorf("three, and some that were not told, are shown as %q", got)
	}
	st.Pass(45_000_000_000)
	if got := line(); !strings.HasSuffix(got, " 1+") {
		t.Errorf("after 75 s the last one is shown as %q", got)
	}
	st.Pass(100_000_000_000)
	if got := line(); !strings.HasSuffix(got, " 0") {
		t.Errorf("after three minutes it shows %q", got)
	}
}

// TestC2_RoutesOfALyingControlPlane: what it sends is text.
func TestC2_RoutesOfALyingControlPlane(t *testing.T) {
	st, _ := stage(t, 80, 24, screentest.Plain())
	evil := "/\x1b]52;c;ZXZpbA==\x07\u202e\x1b[2J" + strings.Repeat("x", 1<<20)
	st.Send(follow.Got[routes.State]{Scope: screentest.Scope(), Value: routes.State{Routes: []mezu.Route{{Meta: mezu.Meta{ID: "\x1b[31m"}, Prefix: evil, Upstream: evil, Methods: []string{evil}}}}})
	if v := st.View(); strings.Contains(v, "\x1b]") || strings.Contains(v, "\x1b[2J") || strings.Contains(v, "\u202e") || len(v) > 64<<10 {
		t.Errorf("it drives the terminal, or fills it: %d bytes", len(v))
	}
}

// TestPaused: nothing moves while the dashboard is paused.
func TestPaused(t *testing.T) {
	st, _ := stage(t, 80, 24, screentest.Plain())
	st.Freeze(func() {
		more := drawn()
		more.Routes = append([]mezu.Route{{Meta: mezu.Meta{ID: "rte_new"}, Name: "new", Exact: "/new"}}, more.Routes...)
		st.Send(follow.Got[routes.State]{Scope: screentest.Scope(), Value: more}, feed.Batch{Events: []local.Event{{Event: mezu.Event{Event: mezu.EventRequest, Tunnel: "shop/dev-ada", Route: "prefix /api/"}, Phase: local.PhaseEnd}}})
		st.Pass(time.Minute)
	})
}

// TestC2_Routes: a control plane that lies drives nothing.
func TestC2_Routes(t *testing.T) {
	for _, size := range [][2]int{{40, 24}, {80, 24}, {130, 30}, {200, 40}} {
		st, p := stage(t, size[0], size[1], screentest.Plain())
		bad := screentest.Hostile()
		st.Send(follow.Got[routes.State]{Scope: screentest.Scope(), Value: routes.State{Routes: []mezu.Route{{Meta: mezu.Meta{ID: bad}, Name: bad, Prefix: bad, Upstream: bad, Auth: mezu.AuthMode(bad), Methods: []string{bad}}}}})
		st.View()
		st.Press("enter")
		st.View()
		p.err = &mezu.Error{Code: mezu.CodeInternal, Detail: bad, Hint: bad, Field: bad}
		st.Send(follow.Failed[routes.State]{Scope: screentest.Scope(), Err: p.err})
		st.View()
		st.Send(screen.Moved{Scope: screentest.Scope()}, follow.Failed[routes.State]{Scope: screentest.Scope(), Err: p.err})
		st.View()
	}
}

// TestMouse: a click selects, a second one opens, and the wheel turns the list below it alone.
func TestMouse(t *testing.T) {
	st, _ := stage(t, 80, 24, screentest.Plain())
	st.Mouse(4, 20)
	st.Run(st.Screen.(screen.Pointed).Click(&st.C, 10, 4, true))
	if !strings.Contains(st.View(), "esc closes") {
		t.Errorf("a double click opens nothing:\n%s", st.View())
	}
}

// Package routes is the third screen of the dashboard: the routes of an environment in the order
// in which they are tried, and what they make of a request that somebody types.
//
// What lives here: the list, the try, and what can be changed. What may not: how routes are
// judged, which is package policy's, and how they are asked for. cmd/mezu imports it.
package routes

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/list"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// Number is the screen's.
const Number = 3

const (
	// maxTyped bounds the request and the user of a try, and the filter.
	maxTyped = 2048
	// minute is how long HERE/M looks back, in seconds.
	minute = 60
)

// State is all routes of an environment, in the order in which they are tried, and who runs them.
type State struct {
	Routes   []mezu.Route
	Position mezu.Position
	// Edges and Warpgates of so many run Position.
	Edges, AllEdges, Warpgates, AllWarpgates int
	// Late names one that does not, as "Warpgate web-1", and Lag says how far it is behind.
	Late string
	Lag  mezu.Lag
}

// Routes are followed and changed.
type Routes interface {
	Follow(ctx context.Context, scope screen.Scope, see func(State)) error
	// Delete removes a route by its name or id.
	Delete(ctx context.Context, scope screen.Scope, route mezu.Route) error
}

// Drafts are routes as mezu.yaml has them.
type Drafts interface {
	// Text is a route, or a new one if it is nil.
	Text(route *mezu.Route) ([]byte, error)
	// Compare reads what was saved, and says what applying it would change.
	Compare(ctx context.Context, scope screen.Scope, route *mezu.Route, saved []byte) (Proposal, error)
}

// Proposal is a change that was not made yet.
type Proposal interface {
	// Lines are what goes, with "- " before it, and what comes, with "+ ".
	Lines() []string
	// Apply makes the change, and gives what the control plane warns of, a sentence each.
	Apply(ctx context.Context) (warnings []string, err error)
}

// Judge says what the routes make of a request.
type Judge interface {
	Judge(ctx context.Context, scope screen.Scope, q Question) (Verdict, error)
}

// Question is a request that somebody types. It is not sent.
type Question struct{ Method, Target, User string }

// Verdict is what the routes make of it.
type Verdict struct {
	Allowed bool
	// Says is it in a sentence.
	Says string
	// Canonical is the path as it is matched; empty if it is not canonical.
	Canonical string
	Lines     []Line
}

// Line is one step: what was looked at, and what came of it.
type Line struct{ Subject, Result string }

// Config is where routes are.
type Config struct {
	Routes Routes
	Drafts Drafts
	Judge  Judge
}

// Screen is the screen.
type Screen struct {
	// Full shows the selected route in full, in the place of the try.
	*list.Followed[State, mezu.Route]
	cfg  Config
	try  try
	here counts
}

var (
	_ screen.Screen   = (*Screen)(nil)
	_ screen.Typist   = (*Screen)(nil)
	_ screen.Pointed  = (*Screen)(nil)
	_ screen.Watching = (*Screen)(nil)
)

// New makes the screen.
func New(cfg Config) *Screen {
	return &Screen{cfg: cfg, try: newTry(), Followed: list.NewFollowed(list.Config[State, mezu.Route]{
		Follow:  cfg.Routes.Follow,
		Records: func(s State) ([]mezu.Route, bool) { return s.Routes, false },
		ID:      func(r mezu.Route) string { return r.ID },
		Text: func(r mezu.Route) string {
			return strings.Join([]string{r.Label(), r.Value(), r.Upstream, string(r.Auth), strings.Join(r.Methods, ",")}, " ")
		},
		MostTyped: maxTyped,
	})}
}

// Title is its name.
func (s *Screen) Title() string { return "Routes" }

// What the keys of the screen do.
const (
	actTry    keymap.Action = "try"
	actMethod keymap.Action = "method"
	actUser   keymap.Action = "user"
	actAdd    keymap.Action = "add"
	actEdit   keymap.Action = "edit"
	actDelete keymap.Action = "delete"
	actCopy   keymap.Action = "copy"
)

// Keys are those that work now.
func (s *Screen) Keys(*screen.Context) keymap.Map {
	return append(keymap.Map{
		{Keys: []string{"t"}, Action: actTry, Footer: "try", Help: "try one; nothing is sent", Palette: "Try a request on the routes"},
		{Keys: []string{"enter"}, Action: list.ActWhole, Footer: "details", Help: "the route in full"},
		{Keys: []string{"a"}, Action: actAdd, Footer: "add", Help: "add one in your editor", Palette: "Add a route"},
		{Keys: []string{"e"}, Action: actEdit, Footer: "edit", Help: "edit it; a diff first", Palette: "Edit the route"},
		{Keys: []string{"x", "delete"}, Action: actDelete, Footer: "delete", Show: "x", Help: "delete it (asks)", Palette: "Delete the route"},
		{Keys: []string{"/"}, Action: list.ActFilter, Footer: "filter", Help: "filter the list"},
		{Keys: []string{"y"}, Action: actCopy, Footer: "copy as mezu.yaml", Help: "copy it as mezu.yaml"},
		{Keys: []string{"M"}, Action: actMethod, Help: "try with another method"},
		{Keys: []string{"u"}, Action: actUser, Help: "another user for the try"},
		{Keys: []string{"esc"}, Action: list.ActClear},
	}, keymap.Moves()...)
}

// Act does what a key asks for.
func (s *Screen) Act(c *screen.Context, a keymap.Action) tea.Cmd {
	if s.Followed.Act(a, s.listHeight(c)) {
		return nil
	}
	switch a {
	case actTry:
		s.Full, s.try.at = false, onTarget
		return nil
	case actUser:
		s.Full, s.try.at = false, onUser
		return nil
	case actMethod:
		s.Full = false
		s.try.nextMethod()
		return s.judge(c)
	case actAdd:
		return s.edit(c, nil)
	}
	route, ok := s.List.Selected()
	if !ok {
		return nil
	}
	switch a {
	case actEdit:
		return s.edit(c, &route)
	case actCopy:
		return s.copy(route)
	case actDelete:
		return s.remove(c, route)
	}
	return nil
}

// Typing reports whether somebody types.
func (s *Screen) Typing() bool { return s.Followed.Typing() || s.try.at != onNothing }

// Key takes a key of who types.
func (s *Screen) Key(c *screen.Context, k tea.KeyMsg) tea.Cmd {
	if s.Followed.Typing() {
		return s.Followed.Key(c, k)
	}
	changed, end := s.try.key(k)
	if changed || end {
		return s.judge(c)
	}
	return nil
}

// Take takes a message.
func (s *Screen) Take(c *screen.Context, msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case screen.Moved:
		s.here = counts{}
		s.try.forget()
	case screen.Freed:
		if !msg.Paused {
			s.here.gap = c.Now.Unix() // what came meanwhile was not counted
		}
	case feed.Batch:
		if !c.Paused {
			s.here.count(s.Scope, msg.Events, c.Now)
		}
	case judged:
		s.try.take(msg)
	case compared:
		return s.compare(c, msg)
	case applied:
		what := "applied; edges and Warpgates take it up now"
		if len(msg.warnings) > 0 { // which nobody sees whose panel is closed
			what = "applied, with a warning: " + look.Text(msg.warnings[0])
		}
		return s.Take(c, list.Changed[State]{What: what, Err: msg.err})
	}
	cmd, news := s.Followed.Take(c, msg)
	if news {
		return s.judge(c)
	}
	return cmd
}

// counts are the requests of routes in the last minute, as far as the daemon tells of them.
type counts struct {
	seconds [minute]map[string]int
	at      int64 // the second of the last entry
	gap     int64 // the second in which some were not told
}

// count counts what has ended.
func (n *counts) count(scope screen.Scope, events []local.Event, now time.Time) {
	second := now.Unix()
	if second-n.at >= minute {
		clear(n.seconds[:])
	}
	for at := max(n.at+1, second-minute+1); at <= second; at++ {
		n.seconds[at%minute] = nil
	}
	n.at = second
	name := mezu.TunnelName(scope.Project, scope.Environment)
	for i := range events {
		e := &events[i]
		switch {
		case e.Event.Event == local.EventGap:
			n.gap = second
		case e.Event.Event != mezu.EventRequest || e.Phase != local.PhaseEnd || e.Route == "":
		case e.Tunnel == name || strings.HasSuffix(e.Tunnel, "/"+name):
			if n.seconds[second%minute] == nil {
				n.seconds[second%minute] = map[string]int{}
			}
			n.seconds[second%minute][e.Route]++
		}
	}
}

// of is how many a route had, with a sign if there may have been more.
func (n *counts) of(route string, now time.Time) string {
	sum := 0
	for at := now.Unix() - minute + 1; at <= n.at; at++ {
		sum += n.seconds[at%minute][route]
	}
	if sum > 0 && n.gap > now.Unix()-minute {
		return look.Count(sum) + "+"
	}
	return look.Count(sum)
}

// match is how a route matches, as mezu.yaml's reader knows it.
func match(r *mezu.Route) string {
	sign := "^"
	switch r.Mode() {
	case mezu.MatchExact:
		sign = "="
	case mezu.MatchRegexp:
		sign = "~"
	}
	return sign + " " + r.Value()
}

// limits is what bounds its requests, or why it is closed.
func limits(r *mezu.Route) string {
	if closed := r.Unenforced(); len(closed) > 0 {
		return "closed: " + strings.Join(closed, ", ")
	}
	var out []string
	if r.Timeout > 0 {
		out = append(out, r.Timeout.String())
	}
	if r.MaxBody > 0 {
		out = append(out, sizeOf(r.MaxBody))
	}
	if r.RateLimit != nil {
		out = append(out, strconv.Itoa(r.RateLimit.Requests)+"/"+r.RateLimit.Per.String())
	}
	return strings.Join(out, " ")
}

// sizeOf is a size in the unit in which it is a small number.
func sizeOf(n mezu.Size) string {
	for _, unit := range []struct {
		name string
		size mezu.Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.size {
			return strconv.FormatFloat(float64(n)/float64(unit.size), 'g', 3, 64) + " " + unit.name
		}
	}
	return strconv.FormatInt(int64(n), 10) + " B"
}

// methods are those that it is for.
func methods(r *mezu.Route) string {
	if len(r.Methods) == 0 {
		return "any"
	}
	return strings.Join(slices.Sorted(slices.Values(r.Methods)), ",")
}

// inForce says who runs the routes as they are, or one that does not yet.
func (s *Screen) inForce(now time.Time) string {
	if s.State.Position.IsZero() {
		return ""
	}
	if s.State.Late != "" {
		return look.Text(s.State.Late) + " is " + s.State.Lag.Text(now)
	}
	return fmt.Sprintf("rev %s  %d/%d edges  %d/%d Warpgates", look.Position(s.State.Position), s.State.Edges, s.State.AllEdges, s.State.Warpgates, s.State.AllWarpgates)
}

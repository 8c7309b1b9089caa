// Package warpgates is the fourth screen of the dashboard: the Warpgates of an environment, the
// links of the one on this machine, and the way of a request hop by hop.
//
// What lives here: the list, what is known of one, and what can be done with it. What may not: how
// that is asked for. cmd/mezu imports it.
package warpgates

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/field"
	"github.com/mezusphere/mezu/tui/follow"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/list"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// Number is the screen's.
const Number = 4

const (
	// doTime bounds a change, probeTime a look at the way.
	doTime    = 30 * time.Second
	probeTime = 15 * time.Second
	maxTyped  = 256
)

// State is what there is to know of the Warpgates of an environment.
type State struct {
	Warpgates []mezu.Warpgate
	// Edges is how many edges there are, zero if that is not known.
	Edges int
	// Position is the newest bundle of the environment.
	Position mezu.Position
}

// Warpgates are followed and changed.
type Warpgates interface {
	Follow(ctx context.Context, scope screen.Scope, see func(State)) error
	// Drain stops sending new requests to it, or sends them again.
	Drain(ctx context.Context, scope screen.Scope, id string, drains bool) error
	Delete(ctx context.Context, scope screen.Scope, id string) error
}

// Way asks how far a request comes now.
type Way interface {
	Probe(ctx context.Context, scope screen.Scope) (Report, error)
}

// Report is the way of a request, hop by hop.
type Report struct {
	Hops []Hop
	// Notes say what else is known, each in a few words: "environment on".
	Notes []string
	// Detail says what is wrong, Hint the next step; empty if requests get through.
	Detail, Hint string
}

// Hop is one of it, and how long the way to it takes; zero if that is not known.
type Hop struct {
	Name  string
	State HopState
	MS    float64
	Note  string
}

// HopState is how a hop is.
type HopState uint8

// States of hops.
const (
	Unknown HopState = iota
	Up
	Failed
)

// Config is where Warpgates are.
type Config struct {
	Warpgates Warpgates
	Way       Way
}

// Screen is the screen.
type Screen struct {
	cfg     Config
	subject *follow.Subject[State]
	scope   screen.Scope
	list    *list.List[mezu.Warpgate]
	state   State
	// here are the tunnels of this machine by the id of their Warpgate.
	here map[string]mezu.Tunnel
	// lost is why a link went away last, by Warpgate.
	lost map[string]loss
	// held and later are what came while nothing that moves was to change.
	held  follow.Held[State]
	later map[string]local.Event // by tunnel, the last one of each

	filter    *field.Field
	filtering bool
	full      bool

	probing bool
	report  *Report
	err     error
}

// loss is a link that went away.
type loss struct {
	at  time.Time
	why string
}

var (
	_ screen.Screen   = (*Screen)(nil)
	_ screen.Typist   = (*Screen)(nil)
	_ screen.Pointed  = (*Screen)(nil)
	_ screen.Watching = (*Screen)(nil)
)

// New makes the screen.
func New(cfg Config) *Screen {
	return &Screen{cfg: cfg, subject: follow.New(cfg.Warpgates.Follow), list: list.New(func(w mezu.Warpgate) string { return w.ID }), filter: field.New(maxTyped),
		here: map[string]mezu.Tunnel{}, lost: map[string]loss{}, later: map[string]local.Event{}}
}

// Title is its name.
func (s *Screen) Title() string { return "Warpgates" }

// Watch follows them.
func (s *Screen) Watch() []screen.Source { return []screen.Source{s.subject.Source} }

// What the keys of the screen do.
const (
	actProbe   keymap.Action = "probe"
	actDrain   keymap.Action = "drain"
	actUndrain keymap.Action = "undrain"
	actRemove  keymap.Action = "remove"
	actWhole   keymap.Action = "details"
	actFilter  keymap.Action = "filter"
	actClear   keymap.Action = "clear"
	actCopy    keymap.Action = "copy"
)

// Keys are those that work now.
func (s *Screen) Keys(*screen.Context) keymap.Map {
	return append(keymap.Map{
		{Keys: []string{"p"}, Action: actProbe, Footer: "probe", Help: "how far a request comes", Palette: "Probe the way to the workload"},
		{Keys: []string{"d"}, Action: actDrain, Footer: "drain", Help: "send it nothing new", Palette: "Drain the Warpgate"},
		{Keys: []string{"u"}, Action: actUndrain, Footer: "undrain", Help: "send it requests again", Palette: "Undrain the Warpgate"},
		{Keys: []string{"x", "delete"}, Action: actRemove, Footer: "remove", Show: "x", Help: "remove it (asks)", Palette: "Remove the Warpgate"},
		{Keys: []string{"enter"}, Action: actWhole, Footer: "details", Help: "all that is known of it"},
		{Keys: []string{"/"}, Action: actFilter, Footer: "filter", Help: "filter the list"},
		{Keys: []string{"y"}, Action: actCopy, Help: "copy its id"},
		{Keys: []string{"esc"}, Action: actClear},
	}, keymap.Moves()...)
}

// Act does what a key asks for.
func (s *Screen) Act(c *screen.Context, a keymap.Action) tea.Cmd {
	if s.list.Move(a, list.Page(s.listHeight(c))) {
		return nil
	}
	w, ok := s.list.Selected()
	switch a {
	case actProbe:
		return s.probe(c)
	case actFilter:
		s.filtering = true
	case actClear:
		if s.full {
			s.full = false
			break
		}
		s.filter.Set("")
		s.list.Filter(nil)
	}
	if !ok {
		return nil
	}
	scope := s.scope
	switch a {
	case actWhole:
		s.full = !s.full
	case actCopy:
		return screen.Cmd(screen.Copy{What: "the id", Text: w.ID})
	case actDrain:
		return s.do(c, "it gets no new requests; what is under way ends", func(ctx context.Context) error { return s.cfg.Warpgates.Drain(ctx, scope, w.ID, true) })
	case actUndrain:
		return s.do(c, "it gets requests again", func(ctx context.Context) error { return s.cfg.Warpgates.Drain(ctx, scope, w.ID, false) })
	case actRemove:
		question := "Remove " + w.ID + " and its certificate?"
		if t, ok := s.here[w.ID]; ok {
			question = "Remove " + w.ID + ", the Warpgate of " + t.Name + " on this machine, and its certificate?"
		}
		return screen.Cmd(screen.Ask{Question: question, Word: w.ID, Then: s.do(c, "removed "+w.ID, func(ctx context.Context) error { return s.cfg.Warpgates.Delete(ctx, scope, w.ID) })})
	}
	return nil
}

// changed is what became of a change.
type changed struct {
	what string
	err  error
}

// do is the command of a change.
func (s *Screen) do(c *screen.Context, what string, change func(context.Context) error) tea.Cmd {
	return c.Within(doTime, func(ctx context.Context) tea.Msg {
		return changed{what, change(ctx)}
	})
}

// probed is the answer of a probe.
type probed struct {
	scope  screen.Scope
	report Report
	err    error
}

// probe asks how far a request comes now.
func (s *Screen) probe(c *screen.Context) tea.Cmd {
	if s.probing || s.scope.Environment == "" {
		return nil
	}
	s.probing = true
	scope, way := s.scope, s.cfg.Way
	return c.Within(probeTime, func(ctx context.Context) tea.Msg {
		r, err := way.Probe(ctx, scope)
		return probed{scope, r, err}
	})
}

// Typing reports whether somebody types a filter.
func (s *Screen) Typing() bool { return s.filtering }

// Key takes a key of the filter.
func (s *Screen) Key(_ *screen.Context, k tea.KeyMsg) tea.Cmd {
	switch k.Type {
	case tea.KeyEsc:
		s.filter.Set("")
		s.filtering = false
	case tea.KeyEnter:
		s.filtering = false
	default:
		s.filter.Key(k)
	}
	text := strings.ToLower(s.filter.Value())
	if text == "" {
		s.list.Filter(nil)
		return nil
	}
	s.list.Filter(func(w mezu.Warpgate) bool {
		return strings.Contains(strings.ToLower(w.ID+" "+string(w.Status)+" "+w.Address+" "+w.Version), text)
	})
	return nil
}

// Take takes a message.
func (s *Screen) Take(c *screen.Context, msg tea.Msg) tea.Cmd {
	if c.Shown {
		s.subject.Want()
	}
	switch msg := msg.(type) {
	case screen.Moved:
		s.scope = msg.Scope
		s.list.Clear()
		s.state, s.report, s.err, s.probing, s.full = State{}, nil, nil, false, false
		s.subject.Move(msg.Scope)
	case follow.Got[State]:
		if msg.Scope == s.scope && !s.held.Hold(c, msg, !s.list.Got.IsZero()) {
			s.got(c, msg)
		}
	case screen.Freed:
		s.free(c)
	case follow.Failed[State]:
		if msg.Scope == s.scope {
			s.list.Fail(msg.Err)
		}
	case feed.Listing:
		clear(s.here)
		clear(s.later)
		for _, t := range msg.Tunnels {
			s.know(t)
		}
	case feed.Batch:
		for i := range msg.Events {
			if e := &msg.Events[i]; c.Paused && e.Event.Event == local.EventTunnel {
				s.later[e.TunnelID] = *e
			} else {
				s.event(e, c.Now)
			}
		}
	case probed:
		if msg.scope == s.scope {
			s.probing, s.err = false, msg.err
			if msg.err == nil {
				s.report = &msg.report
			}
		}
	case changed:
		s.subject.Again()
		if msg.err != nil {
			return screen.Cmd(list.Said(msg.err))
		}
		return screen.Cmd(screen.Say{Text: msg.what})
	}
	return nil
}

// got takes all Warpgates.
func (s *Screen) got(c *screen.Context, msg follow.Got[State]) {
	s.state = msg.Value
	s.list.Take(msg.Value.Warpgates, c.Now)
}

// free takes what came while nothing was to move.
func (s *Screen) free(c *screen.Context) {
	if c.Paused {
		return
	}
	for _, e := range s.later {
		s.event(&e, c.Now)
	}
	clear(s.later)
	s.held.Free(c, func(msg follow.Got[State]) {
		if msg.Scope == s.scope {
			s.got(c, msg)
		}
	})
}

// know keeps a tunnel of this machine.
func (s *Screen) know(t mezu.Tunnel) {
	if t.Warpgate != "" {
		s.here[t.Warpgate] = t
	}
}

// event learns from the daemon how the links of this machine are.
func (s *Screen) event(e *local.Event, now time.Time) {
	if e.Event.Event != local.EventTunnel {
		return
	}
	if e.Record == nil {
		for id, t := range s.here {
			if t.ID == e.TunnelID {
				delete(s.here, id)
				delete(s.lost, id)
			}
		}
		return
	}
	for _, l := range e.Record.Links {
		if l.State == mezu.LinkDown && l.Error != "" {
			s.lost[e.Record.Warpgate] = loss{now, l.Error}
		}
	}
	s.know(*e.Record)
}

// status is how a Warpgate is, with its sign.
func status(t *look.Theme, w *mezu.Warpgate) look.Cell {
	switch {
	case w.Status == mezu.WarpgateConnected && w.Draining:
		return look.Cell{Text: t.Partly + " draining", Tone: look.Warn}
	case w.Status == mezu.WarpgateConnected:
		return look.Cell{Text: t.Up + " connected", Tone: look.Good}
	case w.Status == mezu.WarpgateUnknown:
		return look.Cell{Text: t.Waiting + " unknown", Tone: look.Warn}
	}
	text := t.Down + " " + look.Text(string(w.Status))
	if w.Draining {
		text += ", draining"
	}
	return look.Cell{Text: text, Tone: look.Bad}
}

// bundle says whether it runs the newest one.
func (s *Screen) bundle(t *look.Theme, w *mezu.Warpgate) look.Cell {
	revision := strconv.FormatUint(w.Bundle.Revision, 10)
	switch {
	case w.Bundle.IsZero():
		return look.Cell{Text: t.Dash, Tone: look.Quiet}
	case s.state.Position.IsZero():
		return look.Cell{Text: revision}
	case w.Bundle.Compare(s.state.Position) < 0:
		return look.Cell{Text: revision + " " + t.Behind, Tone: look.Warn}
	}
	return look.Cell{Text: revision + " " + t.Newest, Tone: look.Good}
}

// seen is how long ago it was seen.
func seen(w *mezu.Warpgate, now time.Time) string {
	if w.Status == mezu.WarpgateConnected || w.LastSeenAt.IsZero() {
		return "now"
	}
	return look.Ago(now.Sub(w.LastSeenAt))
}

// edges says how many edges hold a link of it.
func (s *Screen) edges(w *mezu.Warpgate) string {
	if s.state.Edges > 0 {
		return fmt.Sprintf("%d/%d", len(w.Edges), s.state.Edges)
	}
	return look.Count(len(w.Edges))
}

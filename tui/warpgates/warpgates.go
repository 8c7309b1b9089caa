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
const Number = 4

const (
	// probeTime bounds a look at the way.
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
	// Lags are how far those are behind that don't run it, by their ids.
	Lags map[string]mezu.Lag
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
	*list.Followed[State, mezu.Warpgate]
	cfg Config
	// here are the tunnels of this machine by the id of their Warpgate.
	here map[string]mezu.Tunnel
	// lost is why a link went away last, by Warpgate.
	lost map[string]loss
	// later is what came while nothing that moves was to change: the last event of each tunnel.
	later map[string]local.Event

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
	return &Screen{cfg: cfg, here: map[string]mezu.Tunnel{}, lost: map[string]loss{}, later: map[string]local.Event{}, Followed: list.NewFollowed(list.Config[State, mezu.Warpgate]{
		Follow:    cfg.Warpgates.Follow,
		Records:   func(s State) ([]mezu.Warpgate, bool) { return s.Warpgates, false },
		ID:        func(w mezu.Warpgate) string { return w.ID },
		Text:      func(w mezu.Warpgate) string { return w.ID + " " + string(w.Status) + " " + w.Address + " " + w.Version },
		MostTyped: maxTyped,
	})}
}

// Title is its name.
func (s *Screen) Title() string { return "Warpgates" }

// What the keys of the screen do.
const (
	actProbe   keymap.Action = "probe"
	actDrain   keymap.Action = "drain"
	actUndrain keymap.Action = "undrain"
	actRemove  keymap.Action = "remove"
	actCopy    keymap.Action = "copy"
)

// Keys are those that work now.
func (s *Screen) Keys(*screen.Context) keymap.Map {
	return append(keymap.Map{
		{Keys: []string{"p"}, Action: actProbe, Footer: "probe", Help: "how far a request comes", Palette: "Probe the way to the workload"},
		{Keys: []string{"d"}, Action: actDrain, Footer: "drain", Help: "send it nothing new", Palette: "Drain the Warpgate"},
		{Keys: []string{"u"}, Action: actUndrain, Footer: "undrain", Help: "send it requests again", Palette: "Undrain the Warpgate"},
		{Keys: []string{"x", "delete"}, Action: actRemove, Footer: "remove", Show: "x", Help: "remove it (asks)", Palette: "Remove the Warpgate"},
		{Keys: []string{"enter"}, Action: list.ActWhole, Footer: "details", Help: "all that is known of it"},
		{Keys: []string{"/"}, Action: list.ActFilter, Footer: "filter", Help: "filter the list"},
		{Keys: []string{"y"}, Action: actCopy, Help: "copy its id"},
		{Keys: []string{"esc"}, Action: list.ActClear},
	}, keymap.Moves()...)
}

// Act does what a key asks for.
func (s *Screen) Act(c *screen.Context, a keymap.Action) tea.Cmd {
	if s.Followed.Act(a, s.listHeight(c)) {
		return nil
	}
	if a == actProbe {
		return s.probe(c)
	}
	w, ok := s.List.Selected()
	if !ok {
		return nil
	}
	scope := s.Scope
	switch a {
	case actCopy:
		return screen.Cmd(screen.Copy{What: "the id", Text: w.ID})
	case actDrain:
		return s.Do(c, "it gets no new requests; what is under way ends", func(ctx context.Context) error { return s.cfg.Warpgates.Drain(ctx, scope, w.ID, true) })
	case actUndrain:
		return s.Do(c, "it gets requests again", func(ctx context.Context) error { return s.cfg.Warpgates.Drain(ctx, scope, w.ID, false) })
	case actRemove:
		question := "Remove " + w.ID + " and its certificate?"
		if t, ok := s.here[w.ID]; ok {
			question = "Remove " + w.ID + ", the Warpgate of " + t.Name + " on this machine, and its certificate?"
		}
		return screen.Cmd(screen.Ask{Question: question, Word: w.ID, Then: s.Do(c, "removed "+w.ID, func(ctx context.Context) error { return s.cfg.Warpgates.Delete(ctx, scope, w.ID) })})
	}
	return nil
}

// probed is the answer of a probe.
type probed struct {
	scope  screen.Scope
	report Report
	err    error
}

// probe asks how far a request comes now.
func (s *Screen) probe(c *screen.Context) tea.Cmd {
	if s.probing || s.Scope.Environment == "" {
		return nil
	}
	s.probing = true
	scope, way := s.Scope, s.cfg.Way
	return c.Within(probeTime, func(ctx context.Context) tea.Msg {
		r, err := way.Probe(ctx, scope)
		return probed{scope, r, err}
	})
}

// Take takes a message.
func (s *Screen) Take(c *screen.Context, msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case screen.Moved:
		s.report, s.err, s.probing = nil, nil, false
	case screen.Freed:
		s.free(c)
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
		if msg.scope == s.Scope {
			s.probing, s.err = false, msg.err
			if msg.err == nil {
				s.report = &msg.report
			}
		}
	}
	cmd, _ := s.Followed.Take(c, msg)
	return cmd
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
	case s.State.Position.IsZero():
		return look.Cell{Text: revision}
	case w.Bundle.Compare(s.State.Position) < 0:
		if n := s.State.Lags[w.ID].Changes; n > 0 && n < mezu.MaxLag {
			return look.Cell{Text: t.Behind + " " + strconv.Itoa(n) + " back", Tone: look.Warn}
		}
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
	if s.State.Edges > 0 {
		return fmt.Sprintf("%d/%d", len(w.Edges), s.State.Edges)
	}
	return look.Count(len(w.Edges))
}
